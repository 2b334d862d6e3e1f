/* SPDX-License-Identifier: Apache-2.0 */

/* weir help, version and completion: all from the command table. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api_client.h"
#include "base/mem.h"
#include "help.h"
#include "output.h"

const struct weir_opt weir_opts_help[] = {
    {"man", 0, WEIR_OPT_TEXT, .arg = "DIR", .help = "write the man pages of all commands into this directory"},
    {0},
};

static int write_page(const char *dir, const char *name, const struct weir_str *page, struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(8192);
    weir_str_addf(&path, "%s/%s.1", dir, name);
    FILE *f = fopen(weir_str_cstr(&path), "we");
    bool ok = f != NULL && fwrite(weir_str_cstr(page), 1, page->n, f) == page->n;
    int r = 0;
    if ((f != NULL && fclose(f) != 0) || !ok) {
        int e = errno;
        char text[128];
        r = weir_fail(err, weir_error_from_errno(e), "%s: %s", weir_str_cstr(&path), strerror_r(e, text, sizeof text));
    }
    weir_str_release(&path);
    return r;
}

static int write_man(const char *dir, struct weir_err *err)
{
    if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
        int e = errno;
        char text[128];
        return weir_fail(err, weir_error_from_errno(e), "%s: %s", dir, strerror_r(e, text, sizeof text));
    }
    struct weir_str page = WEIR_STR_INIT(WEIR_HELP_BYTES_MAX);
    weir_help_man_overview(&page);
    int r = write_page(dir, "weir", &page, err);
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL && r == 0; c++) {
        if (c->group == NULL) {
            continue;
        }
        char name[80];
        (void)snprintf(name, sizeof name, "weir-%s", c->name);
        weir_str_clear(&page);
        weir_help_man_command(c, &page);
        r = write_page(dir, name, &page, err);
    }
    weir_str_release(&page);
    return r;
}

static void print_commands_json(void)
{
    json_t *all = json_array();
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        if (c->group != NULL) {
            (void)json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "name", c->name, "group", c->group, "arguments",
                                                       c->operands, "summary", c->summary));
        }
    }
    weir_print_json(all);
    json_decref(all);
}

int weir_cmd_help(const struct weir_args *args, struct weir_err *err)
{
    const char *dir = weir_args_text(args, "man");
    if (dir != NULL) {
        return write_man(dir, err);
    }
    struct weir_str out = WEIR_STR_INIT(WEIR_HELP_BYTES_MAX);
    int r = 0;
    if (args->n_operands == 0 && weir_args_has(args, "json")) {
        print_commands_json();
    } else if (args->n_operands == 0) {
        weir_help_overview(&out);
    } else {
        const struct weir_cli_command *c = weir_cli_command_find(args->operand[0]);
        if (c != NULL) {
            weir_help_command(c, &out);
        } else {
            r = weir_fail(err, -WEIR_EINVAL, "there is no command '%.100s'; 'weir help' lists them", args->operand[0]);
        }
    }
    weir_out_print(weir_str_sv(&out), stdout);
    weir_str_release(&out);
    return r;
}

int weir_cmd_version(const struct weir_args *args, struct weir_err *err)
{
    (void)err;
    if (weir_args_has(args, "json")) {
        (void)puts("{\"version\": \"" WEIR_VERSION "\"}");
    } else {
        (void)puts("weir " WEIR_VERSION);
    }
    return 0;
}

int weir_cmd_completion(const struct weir_args *args, struct weir_err *err)
{
    struct weir_str out = WEIR_STR_INIT(WEIR_HELP_BYTES_MAX);
    if (!weir_help_completion(args->operand[0], &out)) {
        weir_str_release(&out);
        return weir_fail(err, -WEIR_EINVAL, "'%.100s' is not one of bash, zsh, fish", args->operand[0]);
    }
    (void)fputs(weir_str_cstr(&out), stdout);
    weir_str_release(&out);
    return 0;
}
