/* SPDX-License-Identifier: Apache-2.0 */
#include "assert.h"

#include <stdio.h>
#include <stdlib.h>

void weir_assert_failed(const char *expr, const char *file, int line, const char *func)
{
    (void)fprintf(stderr, "weir: BUG: %s:%d: %s: assertion '%s' does not hold\n", file, line, func,
                  expr);
    abort();
}
