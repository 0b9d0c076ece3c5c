/* Included by kernels.c once for each instruction set; see noise.py for the stream, job.py for the update. */

typedef uint64_t ISA(vl) __attribute__((vector_size(4 * LANES)));
typedef uint32_t ISA(vu) __attribute__((vector_size(4 * LANES)));
typedef int32_t ISA(vi) __attribute__((vector_size(4 * LANES)));
typedef float ISA(vf) __attribute__((vector_size(4 * LANES)));

/* Philox4x32-10 of LANES blocks from `block` on. Blocks are kept as two vectors, those of even and of odd place,
 * in the low halves of 64-bit lanes: there the widening multiply wants them, and it ignores the high halves, so
 * nothing needs to be masked or moved between rounds. The constant counter words let the compiler take most of
 * the first two rounds out of the caller's loop. */
static inline __attribute__((always_inline)) void ISA(philox)(const uint32_t key[2], const uint32_t counter[3],
                                                              uint32_t block, ISA(vu) out[4])
{
    typedef ISA(vl) vl;
    const vl zero = {0}, m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    vl half[2][4];
    for (int odd = 0; odd < 2; odd++) {
        vl c0, c1 = zero + counter[0], c2 = zero + counter[1], c3 = zero + counter[2];
        for (int k = 0; k < LANES / 2; k++)
            c0[k] = 2 * k + odd;
        c0 += block;
        uint32_t k0 = key[0], k1 = key[1];
        for (int round = 0; round < 10; round++) {
            vl p0 = MUL32(c0, m0), p1 = MUL32(c2, m1);
            c0 = (p1 >> 32) ^ c1 ^ (zero + k0);
            c2 = (p0 >> 32) ^ c3 ^ (zero + k1);
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        half[odd][0] = c0, half[odd][1] = c1, half[odd][2] = c2, half[odd][3] = c3;
    }
    for (int j = 0; j < 4; j++)
        out[j] = (ISA(vu))((half[0][j] & (zero + 0xFFFFFFFFu)) | (half[1][j] << 32));
}

#include "vector_log.h"

/* sqrt(-2 ln u) for u = ((x >> 1) + 1/2) / 2^31. */
static inline __attribute__((always_inline)) ISA(vf) ISA(radius)(ISA(vu) x)
{
    ISA(vf) u = (__builtin_convertvector((ISA(vi))(x >> 1), ISA(vf)) + 0.5f) * 0x1p-31f;
    return SQRT(-2.0f * ISA(natural_log)(u));
}

/* Cosine and sine of the angle 2 pi x / 2^32. The nearest quarter turn is split off the integer, exactly; the
 * rest lies in [-pi/4, pi/4) (coefficients of Cephes' sinf and cosf). */
static inline __attribute__((always_inline)) void ISA(direction)(ISA(vu) x, ISA(vf) *cosine, ISA(vf) *sine)
{
    typedef ISA(vf) vf;
    typedef ISA(vu) vu;
    typedef ISA(vi) vi;
    vu turned = x + 0x20000000u;        /* the two top bits: the quarter */
    vi rest = (vi)(turned & 0x3FFFFFFFu) - 0x20000000;
    vf a = __builtin_convertvector(rest, vf) * 0x1.921fb6p-30f, z = a * a;      /* 2 pi / 2^32 */
    vf s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * a + a;
    vf c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
    vu swap = (vu)((vi)(turned << 1) >> 31), flip_c = (turned + 0x40000000u) & 0x80000000u;
    vu flip_s = turned & 0x80000000u;
    *cosine = (vf)((((vu)c & ~swap) | ((vu)s & swap)) ^ flip_c);
    *sine = (vf)((((vu)s & ~swap) | ((vu)c & swap)) ^ flip_s);
}

/* Element 64 g + 16 j + k is word j of block 16 g + k: vectors are stored where they stand. */
static void ISA(normals)(const uint32_t key[2], const uint32_t counter[3], int64_t first_group, int64_t groups,
                         float *out)
{
    for (int64_t g = 0; g < groups; g++, out += 64) {
        uint32_t block = (uint32_t)(16 * (first_group + g));
        for (int k = 0; k < 16; k += LANES) {
            ISA(vu) x[4];
            ISA(vf) c, s;
            ISA(philox)(key, counter, block + k, x);
            for (int j = 0; j < 4; j += 2) {
                ISA(vf) r = ISA(radius)(x[j]);
                ISA(direction)(x[j + 1], &c, &s);
                c *= r;
                s *= r;
                memcpy(out + 16 * j + k, &c, sizeof c);
                memcpy(out + 16 * (j + 1) + k, &s, sizeof s);
            }
        }
    }
}

static void ISA(words)(const uint32_t key[2], const uint32_t counter[3], int64_t first_group, int64_t groups,
                       uint32_t *out)
{
    for (int64_t g = 0; g < groups; g++, out += 64) {
        uint32_t block = (uint32_t)(16 * (first_group + g));
        for (int k = 0; k < 16; k += LANES) {
            ISA(vu) x[4];
            ISA(philox)(key, counter, block + k, x);
            for (int j = 0; j < 4; j++)
                memcpy(out + 16 * j + k, &x[j], sizeof x[j]);
        }
    }
}

#define REAL float
#define ROOT sqrtf
#define WORD int32_t
#define MANTISSA 23
#define SERIES 9
#define TYPED(name) ISA(name##_f32)
#include "prior_body.h"
#include "update_body.h"
#define REAL double
#define ROOT sqrt
#define WORD int64_t
#define MANTISSA 52
#define SERIES 17
#define TYPED(name) ISA(name##_f64)
#include "prior_body.h"
#include "update_body.h"

static double ISA(chunk)(const sg_task *task, int64_t first, int64_t count)
{
    return task->is_double ? ISA(chunk_f64)(task, first, count) : ISA(chunk_f32)(task, first, count);
}

static const sg_isa ISA(isa) = {ISA_NAME, RANK, ISA(chunk), ISA(normals), ISA(words)};

#undef ISA
#undef ISA_NAME
#undef RANK
#undef LANES
#undef MUL32
#undef SQRT
