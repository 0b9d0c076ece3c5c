/* Enough of CUDA to run a kernel on the host, in front of its source: the grid block by block, the threads of a block
 * as fibers that take turns between barriers. Slow, and exact about what a barrier is: forwards and backwards give
 * different results where threads race, and threads that do not all reach one are an error. */
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include <utility>

#define __global__ __attribute__((visibility("hidden")))    /* the C library, too, has a function called step */
#define __device__
#define __shared__ static
#define __launch_bounds__(n)

struct HostIndex {
    unsigned x, y, z;
};
static HostIndex threadIdx, blockIdx, blockDim, gridDim;

namespace host {

const int MOST = 1024, STACK = 65536;

struct Fiber {
    ucontext_t context;     /* by which it is entered, once; from then on the two jump to and fro, which is faster */
    jmp_buf here;
    char *stack;
    bool over;
};
static Fiber fibers[MOST];
static jmp_buf scheduler;
static int current;
static void (*body)(void **);
static void **arguments;

static void pause()
{
    if (!_setjmp(fibers[current].here))
        _longjmp(scheduler, 1);
}

/* A fiber's whole life: one thread of each block. */
static void live()
{
    for (;;) {
        fibers[current].over = false;
        body(arguments);
        fibers[current].over = true;
        pause();
    }
}

static __attribute__((noinline)) void resume(Fiber &f)
{
    if (_setjmp(scheduler))
        return;
    if (f.stack)
        _longjmp(f.here, 1);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack = (char *)malloc(STACK);
    f.context.uc_stack.ss_size = STACK;
    makecontext(&f.context, live, 0);
    setcontext(&f.context);
}

/* Every thread of a block up to the next barrier. Returns how many have ended, and -1 where only some have. */
static int round(int threads, bool backwards)
{
    int over = 0;
    for (int i = 0; i < threads; i++) {
        current = backwards ? threads - 1 - i : i;
        threadIdx.x = current;
        resume(fibers[current]);
        over += fibers[current].over;
    }
    return over == 0 || over == threads ? over : -1;
}

static bool block(int threads, bool backwards)
{
    int over;
    while ((over = round(threads, backwards)) == 0)
        ;
    return over == threads;
}

static int grid(void (*kernel)(void **), void **args, unsigned first, unsigned blocks, unsigned threads,
                int backwards)
{
    body = kernel;
    arguments = args;
    gridDim.x = blocks;
    blockDim.x = threads;
    for (unsigned b = first; b < blocks; b++) {
        blockIdx.x = backwards ? first + blocks - 1 - b : b;
        if (!block((int)threads, backwards))
            return 1;       /* the library is of no use any more: its fibers are where they are */
    }
    return 0;
}

/* As cuLaunchKernel takes them: the address of each argument. */
template <typename... A, size_t... I>
static void spread(void (*kernel)(A...), void **args, std::index_sequence<I...>)
{
    kernel(*(A *)args[I]...);
}

template <typename... A>
static void call(void (*kernel)(A...), void **args)
{
    spread(kernel, args, std::make_index_sequence<sizeof...(A)>());
}

}

static inline void __syncthreads()
{
    host::pause();
}

/* After the source, for each kernel. Returns 0, or 1 where the threads of a block did not all reach a barrier. */
#define RUN_ON_HOST(kernel) \
    extern "C" int run_##kernel(void **args, unsigned first, unsigned blocks, unsigned threads, int backwards) \
    { \
        return host::grid([](void **a) { host::call(kernel, a); }, args, first, blocks, threads, \
                          backwards); \
    }
