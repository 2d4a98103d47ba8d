/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Atomics of Tapline. Every word shared between threads, or with the kernel, is read and written
 * through these, so that each place says which order it needs. The partner of each acquire and
 * release is named in the header of the structure that holds the word.
 */
#ifndef TAPLINE_ATOMIC_H
#define TAPLINE_ATOMIC_H

#include <stdint.h>

#define TL_CACHE_LINE	 64
#define TL_CACHE_ALIGNED __attribute__((aligned(TL_CACHE_LINE)))

#define tl_load_relaxed(p)	   __atomic_load_n((p), __ATOMIC_RELAXED)
#define tl_load_acquire(p)	   __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define tl_store_relaxed(p, v)	   __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define tl_store_release(p, v)	   __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define tl_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define tl_fence_acquire()	   __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define tl_fence_release()	   __atomic_thread_fence(__ATOMIC_RELEASE)

/*
 * Adds to a counter that one thread writes and others read: no locked instruction is needed,
 * only that no half of the word is seen.
 */
#define tl_counter_add(p, v) tl_store_relaxed((p), tl_load_relaxed(p) + (v))

static inline void tl_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#endif
