/* The arithmetic, compiled once for each instruction set from the same source.
 *
 * Multiply and add stay two roundings where the processor could fuse them, and sums have lanes of fixed number: so
 * every instruction set gives the same bits, and a chain that is resumed on another machine goes on unchanged. The
 * option stands here because it is part of the result, whatever the command line says. (-fno-math-errno should be
 * on it, for vectorised square roots. -ffast-math must not: in a shared library it turns on flush-to-zero for the
 * whole process.)
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off", "no-trapping-math")
#else
#pragma STDC FP_CONTRACT OFF
#endif

#include <math.h>
#include <string.h>

#include "step.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SG_DISPATCH 1
#else
#define SG_DISPATCH 0
#endif

/* float16 and float32, rounded to nearest, ties to even. Without branches, so that loops over them are vectorised. */
static inline __attribute__((always_inline)) float sg_widened(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7FFF) << 13, large = (half & 0x7FFF) >= 0x7C00 ? 0x7F800000u : 0;
    float x;
    memcpy(&x, &bits, sizeof x);
    x *= 0x1p112f;              /* the exponents' biases differ by 112; also right for subnormal halves */
    memcpy(&bits, &x, sizeof x);
    bits |= large | (uint32_t)(half & 0x8000) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline __attribute__((always_inline)) uint16_t sg_narrowed(float x)
{
    uint32_t bits, tiny;
    memcpy(&bits, &x, sizeof x);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    memcpy(&x, &size, sizeof x);
    x += 0.5f;                  /* the last place of a half's subnormals is that of numbers in [1/2, 1) */
    memcpy(&tiny, &x, sizeof x);
    uint32_t normal = (size - (112u << 23) + 0xFFF + (size >> 13 & 1)) >> 13;
    uint32_t huge = size > 0x7F800000 ? 0x7E00 : 0x7C00;
    uint32_t half = size >= 0x47800000 ? huge : size < 0x38800000 ? tiny - 0x3F000000 : normal;
    return (uint16_t)(half | sign);
}

/* A vector has LANES words of 32 bits. MUL32 multiplies the low halves of 64-bit lanes. */

#if SG_DISPATCH
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#define ISA(name) name##_avx512
#define ISA_NAME "avx512"
#define RANK 2
#define LANES 16
#define MUL32(a, b) ((ISA(vl))_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define SQRT(x) ((ISA(vf))_mm512_sqrt_ps((__m512)(x)))
#include "kernel_body.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define ISA(name) name##_avx2
#define ISA_NAME "avx2"
#define RANK 1
#define LANES 8
#define MUL32(a, b) ((ISA(vl))_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define SQRT(x) ((ISA(vf))_mm256_sqrt_ps((__m256)(x)))
#include "kernel_body.h"
#pragma GCC pop_options
#endif

#define ISA(name) name##_base
#define ISA_NAME "baseline"
#define RANK 0
#define LANES 4
#if defined(__x86_64__)
#define MUL32(a, b) ((ISA(vl))_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#define SQRT(x) ((ISA(vf))_mm_sqrt_ps((__m128)(x)))
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define MUL32(a, b) ((ISA(vl))vmull_u32(vmovn_u64((uint64x2_t)(a)), vmovn_u64((uint64x2_t)(b))))
#define SQRT(x) ((ISA(vf))vsqrtq_f32((float32x4_t)(x)))
#else
#define MUL32(a, b) (((a) & 0xFFFFFFFFu) * ((b) & 0xFFFFFFFFu))
#define SQRT(x) ((ISA(vf)){sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])})
#endif
#include "kernel_body.h"

double sg_phi(double x, double *e)
{
    return phi_f64_base(x, e);
}

const sg_isa *sg_isa_of_rank(int rank)
{
#if SG_DISPATCH
    __builtin_cpu_init();
    if (rank == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"))
        return &isa_avx512;
    if (rank == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &isa_avx2;
#endif
    return rank == 0 ? &isa_base : 0;
}
