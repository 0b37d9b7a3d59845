/* SPDX-License-Identifier: MIT */
/* sanitize.h - LUAPARK_ASAN, LUAPARK_TSAN: which sanitizer this is built with, by gcc's
 * words for it or clang's. */
#ifndef LUAPARK_BASE_SANITIZE_H
#define LUAPARK_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define LUAPARK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LUAPARK_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define LUAPARK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LUAPARK_TSAN 1
#endif
#endif

#endif
