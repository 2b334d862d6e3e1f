/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Libraries that are loaded when something needs them and not when the program starts. libcurl, GnuTLS
 * and libmicrohttpd draw in thirty others: to load them costs more time than all else that a command
 * does, and every fork would copy their mappings. Their headers give types and constants; each function
 * goes through a table with the member name_of_function for function name_of_function.
 */

#include <stddef.h>

#include "base/err.h"

struct weir_symbol {
    const char *name;
    void *slot; /* a pointer to the function or variable is stored here */
};

/* One row for each member of a table, and the member itself. */
#define WEIR_LIBRARY_MEMBER(f) __typeof__(&f) f;

/*
 * Loads the first of names (ends with NULL) that is installed, for the life of the process, and fills all
 * slots. Errors: -WEIR_EUNSUPPORTED (not installed, or too old; says which package).
 */
int weir_library_load(const char *const *names, const struct weir_symbol *symbol, size_t n, struct weir_err *err);
