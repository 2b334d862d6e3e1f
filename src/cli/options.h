/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Command-line options as tables. One row says everything about an option: the parser, the help text,
 * the man page and the shell completions are all made from it. Values are checked while parsing, so
 * that a command sees only values of the right form.
 *
 * Long options are "--name VALUE" or "--name=VALUE", short ones "-f", "-n 5" or "-n5". Names are not
 * abbreviated: what a script relies on today may not become ambiguous tomorrow. Where an option is
 * given twice the last one counts, unless its row says that it may be given many times.
 */

#include "base/currency.h"
#include "base/err.h"
#include "base/wtime.h"

enum weir_opt_kind {
    WEIR_OPT_FLAG,
    WEIR_OPT_TEXT,     /* not empty */
    WEIR_OPT_COUNT,    /* min..max */
    WEIR_OPT_DURATION, /* "90s", "1h30m" */
    WEIR_OPT_MONEY,    /* "2.50" */
    WEIR_OPT_TIME,     /* RFC 3339 or a date */
    WEIR_OPT_CHOICE,   /* one of choices */
};

struct weir_opt {
    const char *name; /* without dashes; NULL ends a table */
    char letter;      /* '\0': none */
    enum weir_opt_kind kind;
    bool many;
    const char *arg; /* what the value is called in help; NULL for flags */
    const char *help;
    const char *const *choices; /* WEIR_OPT_CHOICE: NULL-terminated */
    uint64_t min;               /* WEIR_OPT_COUNT */
    uint64_t max;               /* 0: no upper bound */
};

struct weir_arg_value {
    const struct weir_opt *opt;
    const char *text; /* borrowed from argv; "" for a flag */
};

struct weir_args {
    const struct weir_opt *opts;
    const struct weir_opt *common;
    struct weir_arg_value *value; /* in the order given */
    size_t n_values;
    char **operand; /* borrowed strings; NULL-terminated */
    size_t n_operands;
};

/* What a command does with words after the first operand. */
enum weir_opt_order {
    WEIR_OPT_PERMUTE,      /* options may follow operands */
    WEIR_OPT_OPERAND_ENDS, /* the first operand ends the options: it begins a command */
};

/*
 * Parses n words (without the program's and the command's name). opts and common end with a NULL
 * name; common may be NULL. "--" ends the options. The words are borrowed; release afterwards,
 * also on failure. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW; unknown options name the nearest.
 */
int weir_args_parse(struct weir_args *ret, const struct weir_opt *opts, const struct weir_opt *common, size_t n,
                    char *const *word, enum weir_opt_order order, struct weir_err *err);
void weir_args_release(struct weir_args *a);

/* The option must stand in one of the tables: asking for another is a programmer's error. */
bool weir_args_has(const struct weir_args *a, const char *name);
/* The last value given, NULL where none was. */
const char *weir_args_text(const struct weir_args *a, const char *name);
/* The i-th value of an option that may be given many times, NULL past the last. */
const char *weir_args_nth(const struct weir_args *a, const char *name, size_t i);
uint64_t weir_args_count(const struct weir_args *a, const char *name, uint64_t otherwise);
struct weir_dur weir_args_duration(const struct weir_args *a, const char *name, struct weir_dur otherwise);
/* ret_currency: that it names; "": none. */
int64_t weir_args_money(const struct weir_args *a, const char *name, int64_t otherwise, char ret_currency[static WEIR_CURRENCY_SIZE]);
/* {0} where not given. */
struct weir_wall weir_args_time(const struct weir_args *a, const char *name);
