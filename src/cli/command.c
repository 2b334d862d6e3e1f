/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "help.h"
#include "output.h"

enum { NAMES_MAX = 64 };

const struct weir_cli_command *weir_cli_command_find(const char *name)
{
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        if (weir_streq(c->name, name)) {
            return c;
        }
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL && n < NAMES_MAX; c++) {
        if (c->group != NULL) {
            names[n++] = c->name;
        }
    }
    names[n] = NULL;
    const char *near = weir_nearest(weir_sv_of(name), names);
    if (name[0] == '-') {
        weir_talk("'%.100s' stands before the command: weir COMMAND [OPTION]...", name);
    } else if (near != NULL) {
        weir_talk("there is no command '%.100s'; did you mean '%s'?", name, near);
    } else {
        weir_talk("there is no command '%.100s'; 'weir help' lists them", name);
    }
    return weir_error_exit_status(-WEIR_EINVAL);
}

static int check_operands(const struct weir_cli_command *c, const struct weir_args *a, struct weir_err *err)
{
    struct weir_str usage = WEIR_STR_INIT(512);
    int r = 0;
    weir_help_usage(c, &usage);
    if (a->n_operands < c->operands_min) {
        r = weir_fail(err, -WEIR_EINVAL, "an argument is missing; %s", weir_str_cstr(&usage));
    } else if (a->n_operands > c->operands_max) {
        r = weir_fail(err, -WEIR_EINVAL, "'%.100s' is one argument too many; %s", a->operand[c->operands_max],
                      weir_str_cstr(&usage));
    }
    weir_str_release(&usage);
    return r;
}

static void print_help(const struct weir_cli_command *c)
{
    struct weir_str out = WEIR_STR_INIT(WEIR_HELP_BYTES_MAX);
    if (c != NULL) {
        weir_help_command(c, &out);
    } else {
        weir_help_overview(&out);
    }
    weir_out_print(weir_str_sv(&out), stdout);
    weir_str_release(&out);
}

static int run_command(const struct weir_cli_command *c, size_t n, char *const *word)
{
    struct weir_err err = {""};
    struct weir_args args;
    int r = weir_args_parse(&args, c->opts, weir_common_options, n, word, c->order, &err);
    if (r == 0 && weir_args_has(&args, "help")) {
        print_help(c);
    } else {
        if (r == 0) {
            r = check_operands(c, &args, &err);
        }
        if (r == 0) {
            r = c->fn(&args, &err);
        }
    }
    weir_args_release(&args);
    if (r < 0) {
        (void)fflush(stdout);
        weir_talk("%s: %s", c->name, err.text[0] != '\0' ? err.text : weir_error_text(r));
        r = c->failure_exit != 0 ? c->failure_exit : weir_error_exit_status(r);
    }
    return r;
}

int weir_cli_main(int argc, char **argv)
{
    int status;
    const char *name = argc > 1 ? argv[1] : "--help";
    const struct weir_cli_command *c = NULL;
    if (weir_streq(name, "--help") || weir_streq(name, "-h")) {
        print_help(NULL);
        status = argc > 1 ? 0 : weir_error_exit_status(-WEIR_EINVAL);
    } else if (weir_streq(name, "--version")) {
        (void)puts("weir " WEIR_VERSION);
        status = 0;
    } else if ((c = weir_cli_command_find(name)) == NULL) {
        return unknown_command(name);
    } else if (c->raw != NULL) {
        return c->raw(argc - 1, argv + 1);
    } else {
        status = run_command(c, (size_t)argc - 2, argv + 2);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        /* A result that was not written is not a success. */
        weir_talk("standard output: %s", errno == ENOSPC ? "no space left" : "cannot be written");
        return status != 0 ? status : weir_error_exit_status(-WEIR_EIO);
    }
    return status;
}
