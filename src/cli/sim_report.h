/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file that `weir sim --report` writes. It is tried before the run, so that a path that cannot be written is known at once,
 * and is what it was until the whole page is there. */

#include "options.h"
#include "sim/sim.h"

struct weir_sim_page {
    const char *path; /* NULL: no report is wanted */
    char *part; /* written beside it first; NULL: written at once, where it is no plain file or nothing may stand beside it */
    int fd;
};

/* Errors: by errno, naming the file. */
int weir_sim_page_open(struct weir_sim_page *p, const char *path, struct weir_err *err);
/* Does nothing where no report is wanted. Errors: those of writing, and of reading the inputs for their hashes. */
int weir_sim_page_write(const struct weir_sim_page *p, const struct weir_args *args, const struct weir_sim_result *result,
                        const struct weir_sim_inputs *inputs, struct weir_err *err);
void weir_sim_page_close(struct weir_sim_page *p);
