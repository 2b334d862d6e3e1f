/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Assertions for programmer errors, always on. Never assert on input from a network, a disk, a
 * configuration or a provider: that is an error to return.
 */

__attribute__((noreturn, cold)) void
weir_assert_failed(const char *expr, const char *file, int line, const char *func);

#define WEIR_ASSERT(expr)                                                                          \
    ((expr) ? (void)0 : weir_assert_failed(#expr, __FILE__, __LINE__, __func__))

#define WEIR_UNREACHABLE() weir_assert_failed("unreachable", __FILE__, __LINE__, __func__)
