/* Included by kernels.c and dense.c once for each instruction set: the natural logarithm of positive normal floats. */

/* With u = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2): ln u = e ln 2 + f - f^2/2 + f^3 P(f), ln 2 in two parts
 * (coefficients of Cephes' logf, error below 1 ulp). */
static inline __attribute__((always_inline)) ISA(vf) ISA(natural_log)(ISA(vf) u)
{
    typedef ISA(vf) vf;
    typedef ISA(vi) vi;
    vi e = ((vi)u - 0x3F3504F3) >> 23;
    vf f = (vf)((vi)u - (e << 23)) - 1.0f, z = f * f, k = __builtin_convertvector(e, vf);
    vf p = 7.0376836292e-2f * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    vf y = p * f * z - 2.12194440e-4f * k - 0.5f * z;
    return f + y + 0.693359375f * k;
}
