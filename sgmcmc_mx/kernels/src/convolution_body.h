/* Included by dense_body.h: convolutions and max pooling.
 *
 * An image's patches are laid side by side as the columns of a matrix (depth, places): a row for each channel and place
 * in the kernel, a column for each place that the kernel takes, and one row of ones for the bias. A convolution is then
 * a product of its weights, as a matrix (units, depth), with it. It is made anew for each example, so that it stays in
 * a cache. The examples of a minibatch are shared out to SG_TEAMS teams, however many threads there are, and what the
 * teams have summed is added in their order: threads change no bit.
 */

/* Which of the `wide` places of what goes out see one of the `width` of the image, in steps, where the kernel's place
 * lies `before` them. A division takes as long as a line. */
static ALWAYS void ISA(within)(int64_t width, int64_t wide, int64_t step, int64_t before, int64_t *first, int64_t *end)
{
    const int64_t beyond = width + before;
    *end = beyond <= 0 ? 0 : step == 1 ? beyond : (beyond + step - 1) / step;
    *end = *end < wide ? *end : wide;
    *first = before <= 0 ? 0 : step == 1 ? before : (before + step - 1) / step;
    *first = *first < *end ? *first : *end;
}

/* Whole vectors of a line, and a vector of zeros before and behind it. What is written beyond the line's end, the next
 * line writes again. */
static ALWAYS void ISA(lines)(const int vectors, int64_t count, const float *from, int64_t width, float *to,
                              int64_t wide, int64_t first, int64_t end)
{
    const ISA(vf) zero = {0};
    for (; count > 0; count--, from += width, to += wide) {
        if (first > 0)
            ISA(store)(to, zero);
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++)
            ISA(store)(to + first + k * LANES, ISA(load)(from + k * LANES));
        if (end < wide)
            ISA(store)(to + end, zero);
    }
}

/* A row of the matrix: what `from`, an image of one channel, has at place (i, j) of the kernel. */
static void ISA(row_of_patches)(const sg_window *v, const float *from, int64_t i, int64_t j, float *to)
{
    const int64_t step = v->stride[1], left = v->pad[1] - j, above = v->pad[0] - i, wide = v->wide;
    int64_t first, end, y, stop;
    ISA(within)(v->width, v->wide, step, left, &first, &end);
    ISA(within)(v->height, v->high, v->stride[0], above, &y, &stop);
    memset(to, 0, y * wide * sizeof *to);
    const int64_t vectors = (end - first + LANES - 1) / LANES;
    if (step == 1 && vectors >= 1 && vectors <= 4 && first <= LANES && wide - end <= LANES) {
        /* As many lines as may be read and written beyond their ends, within the image and within the row. */
        const int64_t ahead = v->stride[0] * v->width, start = first - left, over = first + vectors * LANES;
        const int64_t last = end < wide && end + LANES > over ? end + LANES : over;
        const int64_t readable = v->height * v->width - start - vectors * LANES + above * v->width;
        const int64_t writable = v->high * wide - last;
        int64_t lines = stop;
        while (lines > y && ((lines - 1) * ahead > readable || (lines - 1) * wide > writable))
            lines--;
        lines -= y;
        const float *line = from + (y * v->stride[0] - above) * v->width + start;
        switch (vectors) {
        case 1:
            ISA(lines)(1, lines, line, ahead, to + y * wide, wide, first, end);
            break;
        case 2:
            ISA(lines)(2, lines, line, ahead, to + y * wide, wide, first, end);
            break;
        case 3:
            ISA(lines)(3, lines, line, ahead, to + y * wide, wide, first, end);
            break;
        default:
            ISA(lines)(4, lines, line, ahead, to + y * wide, wide, first, end);
        }
        y += lines;
    }
    for (; y < stop; y++) {
        const float *line = from + (y * v->stride[0] - above) * v->width - left;
        float *x = to + y * wide;
        memset(x, 0, first * sizeof *x);
        for (int64_t k = first; k < end; k++)
            x[k] = line[k * step];
        memset(x + end, 0, (wide - end) * sizeof *x);
    }
    memset(to + stop * wide, 0, (v->high - stop) * wide * sizeof *to);
}

static ALWAYS void ISA(add_line)(float *restrict to, const float *restrict from, int64_t count)
{
    int64_t x = 0;
    for (; x + LANES <= count; x += LANES)
        ISA(store)(to + x, ISA(load)(to + x) + ISA(load)(from + x));
    for (; x < count; x++)
        to[x] += from[x];
}

/* The reverse: add such a row to where it came from. */
static void ISA(add_patches)(const sg_window *v, float *to, int64_t i, int64_t j, const float *from)
{
    const int64_t step = v->stride[1], left = v->pad[1] - j, above = v->pad[0] - i;
    int64_t first, end, y, stop;
    ISA(within)(v->width, v->wide, step, left, &first, &end);
    ISA(within)(v->height, v->high, v->stride[0], above, &y, &stop);
    for (; y < stop; y++) {
        float *line = to + (y * v->stride[0] - above) * v->width - left;
        const float *x = from + y * v->wide;
        if (step == 1)
            ISA(add_line)(line + first, x + first, end - first);
        else
            for (int64_t k = first; k < end; k++)
                line[k * step] += x[k];
    }
}

#define DEPTH(l) ((l)->window.channels * (l)->window.kernel[0] * (l)->window.kernel[1])
#define PLACES(l) ((l)->window.high * (l)->window.wide)
#define FOR_EACH_PLACE_IN_KERNEL(v, row, at, i, j)                                                                    \
    for (int64_t at = 0, row = 0; at < (v)->channels; at++)                                                           \
        for (int64_t i = 0; i < (v)->kernel[0]; i++)                                                                  \
            for (int64_t j = 0; j < (v)->kernel[1]; j++, row++)

static void ISA(patches)(const sg_layer *l, const float *x, float *columns)
{
    const sg_window *v = &l->window;
    const int64_t stride = SG_PADDED(PLACES(l));
    FOR_EACH_PLACE_IN_KERNEL(v, row, channel, i, j)
    ISA(row_of_patches)(v, x + channel * v->height * v->width, i, j, columns + row * stride);
}

/* Up to the end of a vector is 0, and stays so. */
static void ISA(clear_patches)(const sg_layer *l, float *columns)
{
    const int64_t depth = DEPTH(l), places = PLACES(l), stride = SG_PADDED(places);
    memset(columns, 0, (depth + 1) * stride * sizeof *columns);
    for (int64_t p = 0; p < places; p++)
        columns[depth * stride + p] = 1.0f;
}

#define TEAMS_AT_ONCE(net) ((net)->threads < SG_TEAMS ? (net)->threads : SG_TEAMS)
#ifdef _OPENMP
#define FOR_EACH_TEAM                                                                                                 \
    _Pragma("omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)")                             \
    for (int team = 0; team < SG_TEAMS; team++)
#else
#define FOR_EACH_TEAM                                                                                                 \
    (void)threads;                                                                                                    \
    for (int team = 0; team < SG_TEAMS; team++)
#endif
#define FIRST(n, team) ((n) * (team) / SG_TEAMS)

static void ISA(convolve_some)(const sg_layer *l, const float *x, float *y, int64_t n, float *columns)
{
    const int64_t depth = DEPTH(l), places = PLACES(l), stride = SG_PADDED(places);
    ISA(clear_patches)(l, columns);
    for (int64_t b = 0; b < n; b++, x += SG_PADDED(l->in), y += SG_PADDED(l->out)) {
        ISA(patches)(l, x, columns);
        for (int64_t u = 0; u < l->units; u++)
            for (int64_t p = 0; p < places; p++)
                y[u * places + p] = l->bias ? l->bias[u] : 0.0f;
        memset(y + l->out, 0, (SG_PADDED(l->out) - l->out) * sizeof *y);
        for (int64_t p = 0; p < places; p += 2 * LANES)
            ISA(rows)(l->units, places - p < 2 * LANES ? places - p : 2 * LANES, depth, l->weight, depth, 1,
                      columns + p, stride, y + p, places, 0);
    }
}

static void ISA(convolve)(sg_network *net, const sg_layer *l, const float *x, float *y, int64_t n)
{
    const int threads = TEAMS_AT_ONCE(net);
    FOR_EACH_TEAM
    {
        const int64_t first = FIRST(n, team), count = FIRST(n, team + 1) - first;
        ISA(convolve_some)(l, x + first * SG_PADDED(l->in), y + first * SG_PADDED(l->out), count,
                           net->columns + team * net->room);
    }
}

/* sums[m][k][i] += sum over the q with q % SG_PAD = i of a[m][q] b[k][q]: so many sums side by side, whatever the width
 * of a vector, so that they are rounded alike. */
#define PARTS (SG_PAD / LANES)
#define SIDE (LANES == 16 ? 4 : LANES == 8 ? 2 : 1)
static ALWAYS void ISA(dot_tile)(const int rows, const int columns, int64_t length, const float *a, int64_t lda,
                                 const float *b, int64_t ldb, float *sums, int64_t ld)
{
    ISA(vf) sum[SIDE][SIDE][PARTS], x[SIDE][PARTS];
#pragma GCC unroll 4
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int k = 0; k < columns; k++)
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++)
                sum[m][k][i] = ISA(load)(sums + m * ld + k * SG_PAD + i * LANES);
    for (int64_t q = 0; q < length; q += SG_PAD) {
#pragma GCC unroll 4
        for (int k = 0; k < columns; k++)
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++)
                x[k][i] = ISA(load)(b + k * ldb + q + i * LANES);
#pragma GCC unroll 4
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++) {
                ISA(vf) factor = ISA(load)(a + m * lda + q + i * LANES);
#pragma GCC unroll 4
                for (int k = 0; k < columns; k++)
                    sum[m][k][i] += factor * x[k][i];
            }
    }
#pragma GCC unroll 4
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int k = 0; k < columns; k++)
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++)
                ISA(store)(sums + m * ld + k * SG_PAD + i * LANES, sum[m][k][i]);
}

static void ISA(dots)(int64_t height, int64_t width, int64_t length, const float *a, int64_t lda, const float *b,
                      int64_t ldb, float *sums)
{
    const int64_t ld = width * SG_PAD;
    int64_t m = 0, k;
    for (; m + SIDE <= height; m += SIDE) {
        for (k = 0; k + SIDE <= width; k += SIDE)
            ISA(dot_tile)(SIDE, SIDE, length, a + m * lda, lda, b + k * ldb, ldb, sums + m * ld + k * SG_PAD, ld);
        for (; k < width; k++)
            ISA(dot_tile)(SIDE, 1, length, a + m * lda, lda, b + k * ldb, ldb, sums + m * ld + k * SG_PAD, ld);
    }
    for (; m < height; m++)
        for (k = 0; k < width; k++)
            ISA(dot_tile)(1, 1, length, a + m * lda, lda, b + k * ldb, ldb, sums + m * ld + k * SG_PAD, ld);
}
#undef SIDE
#undef PARTS

/* Sums for the derivatives by the weights and, if `below` is given, the derivatives by what came in. A column beyond the
 * last place is 0, and what `delta` has there is another unit's. */
static void ISA(convolve_back_some)(const sg_layer *l, const float *x, const float *delta, float *below, int64_t n,
                                    float *columns, float *patches, float *sums)
{
    const sg_window *v = &l->window;
    const int64_t depth = DEPTH(l), places = PLACES(l), stride = SG_PADDED(places), in = SG_PADDED(l->in);
    static const float zeros[2 * LANES];
    memset(sums, 0, l->units * (depth + 1) * SG_PAD * sizeof *sums);
    ISA(clear_patches)(l, columns);
    for (int64_t b = 0; b < n; b++, x += in, delta += SG_PADDED(l->out)) {
        ISA(patches)(l, x, columns);
        ISA(dots)(l->units, depth + 1, stride, delta, places, columns, stride, sums);
        if (!below)
            continue;
        for (int64_t p = 0; p < stride; p += 2 * LANES)     /* whole vectors: what lies between is not looked at */
            ISA(rows)(depth, stride - p < 2 * LANES ? stride - p : 2 * LANES, l->units, l->weight, 1, depth, delta + p,
                      places, patches + p, stride, zeros);
        float *to = below + b * in;
        memset(to, 0, in * sizeof *to);
        FOR_EACH_PLACE_IN_KERNEL(v, row, channel, i, j)
        ISA(add_patches)(v, to + channel * v->height * v->width, i, j, patches + row * stride);
    }
}

static void ISA(convolve_back)(sg_network *net, const sg_layer *l, const float *x, const float *delta, float *below,
                               int64_t n)
{
    const int64_t depth = DEPTH(l), size = l->units * (depth + 1) * SG_PAD;
    const int threads = TEAMS_AT_ONCE(net);
    FOR_EACH_TEAM
    {
        const int64_t first = FIRST(n, team), count = FIRST(n, team + 1) - first;
        ISA(convolve_back_some)(l, x + first * SG_PADDED(l->in), delta + first * SG_PADDED(l->out),
                                below ? below + first * SG_PADDED(l->in) : 0, count, net->columns + team * net->room,
                                net->patches + team * net->room, net->sums + team * size);
    }
    for (int team = 1; team < SG_TEAMS; team++)
        for (int64_t i = 0; i < size; i += LANES)
            ISA(store)(net->sums + i, ISA(load)(net->sums + i) + ISA(load)(net->sums + team * size + i));
    for (int64_t u = 0; u < l->units; u++)
        for (int64_t k = 0; k <= depth; k++) {
            float *sum = net->sums + (u * (depth + 1) + k) * SG_PAD;
            for (int half = SG_PAD / 2; half; half /= 2)
                for (int i = 0; i < half; i++)
                    sum[i] += sum[i + half];
            if (k < depth)
                l->weight_grad[u * depth + k] = sum[0];
            else if (l->bias)
                l->bias_grad[u] = sum[0];
        }
}

/* The largest number of a window, the first of several; not a number is larger than any. Returns its place. */
static ALWAYS int64_t ISA(largest)(const int64_t high, const int64_t wide, int64_t width, const float *x)
{
    int64_t best = 0;
    float most = *x;
    for (int64_t i = 0; i < high; i++)
        for (int64_t j = 0; j < wide; j++) {
            const int64_t at = i * width + j;
            const int more = (x[at] > most) | (x[at] != x[at]);
            most = more ? x[at] : most;
            best = more ? at : best;
        }
    return best;
}

#define FOR_EACH_WINDOW(l, x)                                                                                         \
    for (int64_t c = 0; c < (l)->units; c++, x += v->height * v->width)                                               \
        for (int64_t i = 0; i < v->high; i++)                                                                         \
            for (int64_t j = 0; j < v->wide; j++)
#define CORNER (i * v->stride[0] * v->width + j * v->stride[1])

static ALWAYS void ISA(pool_by)(const int64_t high, const int64_t wide, const sg_layer *l, const float *x, float *y,
                                int64_t n)
{
    const sg_window *v = &l->window;
    for (int64_t b = 0; b < n; b++) {
        const float *from = x + b * SG_PADDED(l->in);
        float *to = y + b * SG_PADDED(l->out);
        FOR_EACH_WINDOW(l, from)
        {
            const float *corner = from + CORNER;
            *to++ = corner[ISA(largest)(high, wide, v->width, corner)];
        }
    }
}

static ALWAYS void ISA(pool_back_by)(const int64_t high, const int64_t wide, const sg_layer *l, const float *x,
                                     const float *delta, float *below, int64_t n)
{
    const sg_window *v = &l->window;
    for (int64_t b = 0; b < n; b++) {
        const float *from = x + b * SG_PADDED(l->in), *given = delta + b * SG_PADDED(l->out);
        float *to = below + b * SG_PADDED(l->in);
        memset(to, 0, SG_PADDED(l->in) * sizeof *to);
        FOR_EACH_WINDOW(l, from)
        {
            const int64_t corner = CORNER;
            to[c * v->height * v->width + corner + ISA(largest)(high, wide, v->width, from + corner)] += *given++;
        }
    }
}

/* Windows of two by two, side by side, are most of all: those of a row go through vectors, and come out the same. */
#define TWO_BY_TWO(l)                                                                                                 \
    ((l)->window.kernel[0] == 2 && (l)->window.kernel[1] == 2 && (l)->window.stride[0] == 2 &&                       \
     (l)->window.stride[1] == 2)
#define MORE(x, most) (((x) > (most)) | ((x) != (x)))

static ALWAYS void ISA(pool_line)(int64_t count, const float *restrict upper, const float *restrict lower,
                                  float *restrict to)
{
    for (int64_t j = 0; j < count; j++) {
        const float x[4] = {upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]};
        float most = x[0];
        for (int k = 1; k < 4; k++)
            most = MORE(x[k], most) ? x[k] : most;
        to[j] = most;
    }
}

static ALWAYS void ISA(pool_back_line)(int64_t count, const float *restrict upper, const float *restrict lower,
                                       const float *restrict given, float *restrict above, float *restrict below)
{
    for (int64_t j = 0; j < count; j++) {
        const float x = upper[2 * j], y = upper[2 * j + 1], z = lower[2 * j], w = lower[2 * j + 1];
        const float g = 0.0f + given[j];
        const int second = MORE(y, x);
        float most = second ? y : x, at_x = second ? 0.0f : g, at_y = second ? g : 0.0f;
        const int third = MORE(z, most);
        most = third ? z : most;
        at_x = third ? 0.0f : at_x;
        at_y = third ? 0.0f : at_y;
        const float at_z = third ? g : 0.0f;
        const int fourth = MORE(w, most);
        above[2 * j] = fourth ? 0.0f : at_x;
        above[2 * j + 1] = fourth ? 0.0f : at_y;
        below[2 * j] = fourth ? 0.0f : at_z;
        below[2 * j + 1] = fourth ? g : 0.0f;
    }
}
#undef MORE

static void ISA(pool_two)(const sg_layer *l, const float *x, float *y, int64_t n)
{
    const sg_window *v = &l->window;
    for (int64_t b = 0; b < n; b++, x += SG_PADDED(l->in), y += SG_PADDED(l->out))
        for (int64_t c = 0; c < l->units; c++)
            for (int64_t i = 0; i < v->high; i++) {
                const float *from = x + (c * v->height + 2 * i) * v->width;
                ISA(pool_line)(v->wide, from, from + v->width, y + (c * v->high + i) * v->wide);
            }
}

static void ISA(pool_back_two)(const sg_layer *l, const float *x, const float *delta, float *below, int64_t n)
{
    const sg_window *v = &l->window;
    const int64_t in = SG_PADDED(l->in);
    for (int64_t b = 0; b < n; b++, x += in, below += in, delta += SG_PADDED(l->out)) {
        memset(below, 0, in * sizeof *below);
        for (int64_t c = 0; c < l->units; c++)
            for (int64_t i = 0; i < v->high; i++) {
                const int64_t at = (c * v->height + 2 * i) * v->width;
                ISA(pool_back_line)(v->wide, x + at, x + at + v->width, delta + (c * v->high + i) * v->wide,
                                    below + at, below + at + v->width);
            }
    }
}

static void ISA(pool)(sg_network *net, const sg_layer *l, const float *x, float *y, int64_t n)
{
    const int threads = TEAMS_AT_ONCE(net);
    FOR_EACH_TEAM
    {
        const int64_t first = FIRST(n, team), count = FIRST(n, team + 1) - first;
        const float *from = x + first * SG_PADDED(l->in);
        float *to = y + first * SG_PADDED(l->out);
        if (TWO_BY_TWO(l))
            ISA(pool_two)(l, from, to, count);
        else
            ISA(pool_by)(l->window.kernel[0], l->window.kernel[1], l, from, to, count);
    }
}

static void ISA(pool_back)(sg_network *net, const sg_layer *l, const float *x, const float *delta, float *below,
                           int64_t n)
{
    if (!below)
        return;
    const int threads = TEAMS_AT_ONCE(net);
    FOR_EACH_TEAM
    {
        const int64_t first = FIRST(n, team), count = FIRST(n, team + 1) - first;
        const float *from = x + first * SG_PADDED(l->in), *given = delta + first * SG_PADDED(l->out);
        float *to = below + first * SG_PADDED(l->in);
        if (TWO_BY_TWO(l))
            ISA(pool_back_two)(l, from, given, to, count);
        else
            ISA(pool_back_by)(l->window.kernel[0], l->window.kernel[1], l, from, given, to, count);
    }
}
#undef FIRST
#undef FOR_EACH_TEAM
#undef TEAMS_AT_ONCE
#undef TWO_BY_TWO
#undef CORNER
#undef FOR_EACH_WINDOW
#undef FOR_EACH_PLACE_IN_KERNEL
#undef PLACES
#undef DEPTH
