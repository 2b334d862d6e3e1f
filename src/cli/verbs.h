/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Commands whose first word says what is to be done: "weir budget set NAME --amount 5". A table of these words says what each takes; whatever
 * else is given is refused, rather than ignored.
 */

#include "command.h"

struct weir_verb {
    const char *word;     /* NULL ends a table */
    const char *operands; /* "NAME KIND", "TOKEN..."; NULL: none */
    const char *options;  /* those of the command that are for it: "for amount span"; NULL: none, "*": all */
    weir_cli_fn *fn;
};

/* Runs what the first operand says, or the first row where there is none. Errors: -WEIR_EINVAL, and those of what is run. */
int weir_verb_run(const char *command, const struct weir_verb *verbs, const struct weir_args *args, struct weir_err *err);
