/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include "base/mem.h"

enum { HELP_COLUMN = 30 };

static bool has_options(const struct weir_cli_command *c)
{
    return c->raw == NULL;
}

static void add_option_name(const struct weir_opt *o, struct weir_str *out)
{
    if (o->letter != '\0') {
        weir_str_addf(out, "-%c, ", o->letter);
    } else {
        weir_str_adds(out, "    ");
    }
    weir_str_addf(out, "--%s", o->name);
    if (o->arg != NULL) {
        weir_str_addf(out, " %s", o->arg);
    }
}

static void add_choices(const struct weir_opt *o, struct weir_str *out)
{
    if (o->kind != WEIR_OPT_CHOICE) {
        return;
    }
    weir_str_adds(out, ": ");
    for (const char *const *c = o->choices; *c != NULL; c++) {
        weir_str_addf(out, "%s%s", c != o->choices ? ", " : "", *c);
    }
}

static void add_options(const struct weir_opt *o, struct weir_str *out)
{
    for (; o != NULL && o->name != NULL; o++) {
        struct weir_str left = WEIR_STR_INIT(256);
        weir_str_adds(&left, "  ");
        add_option_name(o, &left);
        weir_str_add(out, left.p, left.n);
        if (left.n + 2 > HELP_COLUMN) {
            weir_str_addc(out, '\n');
            left.n = 0;
        }
        for (size_t i = left.n; i < HELP_COLUMN; i++) {
            weir_str_addc(out, ' ');
        }
        weir_str_adds(out, o->help);
        add_choices(o, out);
        weir_str_addc(out, '\n');
        weir_str_release(&left);
    }
}

/* Calls fn for each "left\tright" line. */
static void each_line(const char *text, void (*fn)(struct weir_sv left, struct weir_sv right, struct weir_str *out),
                      struct weir_str *out)
{
    struct weir_sv rest = weir_sv_of(text);
    while (rest.n > 0) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        struct weir_sv right = line;
        struct weir_sv left = weir_sv_cut(&right, '\t');
        if (left.n > 0) {
            fn(left, right, out);
        }
    }
}

static void add_line(struct weir_sv left, struct weir_sv right, struct weir_str *out)
{
    weir_str_addf(out, "  %-*.*s%s%.*s\n", HELP_COLUMN - 2, (int)left.n, left.p, left.n + 3 > HELP_COLUMN ? "  " : "",
                  (int)right.n, right.p);
}

static void add_example(struct weir_sv left, struct weir_sv right, struct weir_str *out)
{
    weir_str_addf(out, "  %.*s\n", (int)left.n, left.p);
    if (right.n > 0) {
        weir_str_addf(out, "      %.*s\n", (int)right.n, right.p);
    }
}

void weir_help_usage(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, "usage: weir %s", c->name);
    if (has_options(c)) {
        weir_str_adds(out, " [OPTION]...");
    }
    if (c->operands[0] != '\0') {
        weir_str_addf(out, " %s", c->operands);
    }
}

void weir_help_command(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_help_usage(c, out);
    weir_str_addf(out, "\n\n%s.\n", c->summary);
    if (c->help != NULL) {
        weir_str_addf(out, "\n%s\n", c->help);
    }
    if (has_options(c)) {
        weir_str_adds(out, "\nOptions:\n");
        add_options(c->opts, out);
        add_options(weir_common_options, out);
    }
    if (c->exits != NULL) {
        weir_str_adds(out, "\nExit codes:\n");
        each_line(c->exits, add_line, out);
    }
    if (c->examples != NULL) {
        weir_str_adds(out, "\nExamples:\n");
        each_line(c->examples, add_example, out);
    }
}

void weir_help_overview(struct weir_str *out)
{
    weir_str_adds(out, "usage: weir COMMAND [OPTION]... [ARGUMENT]...\n\n"
                       "weir fills the GPUs that you own, lets the overflow run on the cheapest cloud GPU, and bills\n"
                       "every second of both.\n");
    const char *group = NULL;
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        if (c->group == NULL) {
            continue;
        }
        if (group == NULL || !weir_streq(group, c->group)) {
            group = c->group;
            weir_str_addf(out, "\n%s:\n", group);
        }
        weir_str_addf(out, "  %-12s %s\n", c->name, c->summary);
    }
    weir_str_adds(out, "\nEnvironment:\n");
    each_line(weir_environment_text, add_line, out);
    weir_str_adds(out, "\n'weir COMMAND --help' tells all about a command.\n");
}

/* ---- man pages ---- */

/* Text for roff: backslashes, dashes and leading dots and quotes are escaped. */
static void roff(struct weir_str *out, struct weir_sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool begins = i == 0 || s.p[i - 1] == '\n';
        if (begins && (s.p[i] == '.' || s.p[i] == '\'')) {
            weir_str_adds(out, "\\&");
        }
        if (s.p[i] == '\\') {
            weir_str_adds(out, "\\e");
        } else if (s.p[i] == '-') {
            weir_str_adds(out, "\\-");
        } else {
            weir_str_addc(out, s.p[i]);
        }
    }
}

static void roff_z(struct weir_str *out, const char *z)
{
    roff(out, weir_sv_of(z));
}

/* Paragraphs are parted by empty lines; indented lines are shown as they stand. */
static void roff_paragraphs(struct weir_str *out, const char *text)
{
    struct weir_sv rest = weir_sv_of(text);
    bool as_is = false;
    while (rest.p != NULL) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        bool indented = line.n > 0 && line.p[0] == ' ';
        if (indented != as_is) {
            weir_str_adds(out, indented ? ".nf\n" : ".fi\n");
            as_is = indented;
        }
        if (line.n == 0) {
            weir_str_adds(out, ".PP\n");
            continue;
        }
        roff(out, line);
        weir_str_addc(out, '\n');
    }
    if (as_is) {
        weir_str_adds(out, ".fi\n");
    }
}

static void roff_options(struct weir_str *out, const struct weir_opt *o)
{
    for (; o != NULL && o->name != NULL; o++) {
        weir_str_adds(out, ".TP\n\\fB");
        if (o->letter != '\0') {
            weir_str_addf(out, "\\-%c\\fR, \\fB", o->letter);
        }
        weir_str_adds(out, "\\-\\-");
        roff_z(out, o->name);
        weir_str_adds(out, "\\fR");
        if (o->arg != NULL) {
            weir_str_adds(out, " \\fI");
            roff_z(out, o->arg);
            weir_str_adds(out, "\\fR");
        }
        weir_str_addc(out, '\n');
        struct weir_str help = WEIR_STR_INIT(2048);
        weir_str_adds(&help, o->help);
        add_choices(o, &help);
        roff(out, weir_str_sv(&help));
        weir_str_addc(out, '\n');
        weir_str_release(&help);
    }
}

static void roff_item(struct weir_sv left, struct weir_sv right, struct weir_str *out)
{
    weir_str_adds(out, ".TP\n\\fB");
    roff(out, left);
    weir_str_adds(out, "\\fR\n");
    roff(out, right);
    weir_str_addc(out, '\n');
}

static void roff_exits(struct weir_str *out)
{
    weir_str_adds(out, ".SH EXIT STATUS\n.TP\n0\nsuccess\n");
    /* Classes of failure by their exit status, each status once. */
    for (int status = 1; status < 256; status++) {
        bool first = true;
        for (int i = 1; i < WEIR_ERROR_MAX; i++) {
            if (weir_error_exit_status(-i) != status) {
                continue;
            }
            if (first) {
                weir_str_addf(out, ".TP\n%d\n", status);
            }
            weir_str_adds(out, first ? "" : ", ");
            roff_z(out, weir_error_text(-i));
            first = false;
        }
        if (!first) {
            weir_str_addc(out, '\n');
        }
    }
}

static void roff_title(struct weir_str *out, const char *name, const char *summary)
{
    weir_str_addf(out,
                  ".\\\" Written by 'weir help --man' from the command table.\n.TH \"%s\" 1 \"\" \"weir %s\" \"weir\"\n"
                  ".SH NAME\n",
                  name, WEIR_VERSION);
    roff_z(out, name);
    weir_str_adds(out, " \\- ");
    roff_z(out, summary);
    weir_str_addc(out, '\n');
}

void weir_help_man_command(const struct weir_cli_command *c, struct weir_str *out)
{
    char name[64] = "weir-";
    size_t n = strlen(c->name) < sizeof name - 6 ? strlen(c->name) : sizeof name - 6;
    memcpy(name + 5, c->name, n);
    name[5 + n] = '\0';
    roff_title(out, name, c->summary);
    weir_str_addf(out, ".SH SYNOPSIS\n\\fBweir %s\\fR", c->name);
    if (has_options(c)) {
        weir_str_adds(out, " [\\fIOPTION\\fR]...");
    }
    weir_str_addc(out, ' ');
    roff_z(out, c->operands);
    weir_str_addc(out, '\n');
    weir_str_adds(out, ".SH DESCRIPTION\n");
    roff_paragraphs(out, c->help != NULL ? c->help : c->summary);
    if (has_options(c)) {
        weir_str_adds(out, ".SH OPTIONS\n");
        roff_options(out, c->opts);
        roff_options(out, weir_common_options);
    }
    roff_exits(out);
    if (c->exits != NULL) {
        each_line(c->exits, roff_item, out);
    }
    if (c->examples != NULL) {
        weir_str_adds(out, ".SH EXAMPLES\n");
        each_line(c->examples, roff_item, out);
    }
    weir_str_adds(out, ".SH ENVIRONMENT\n");
    each_line(weir_environment_text, roff_item, out);
    weir_str_adds(out, ".SH SEE ALSO\n\\fBweir\\fR(1)\n");
}

void weir_help_man_overview(struct weir_str *out)
{
    roff_title(out, "weir", "run jobs on GPUs, owned ones first, and bill every second");
    weir_str_adds(
        out, ".SH SYNOPSIS\n\\fBweir\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n"
             ".SH DESCRIPTION\nweir fills the GPUs that you own, lets the overflow run on the cheapest cloud GPU,\n"
             "and bills every second of both.\n.SH COMMANDS\n");
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        if (c->group != NULL) {
            weir_str_addf(out, ".TP\n\\fBweir\\-%s\\fR(1)\n", c->name);
            roff_z(out, c->summary);
            weir_str_addc(out, '\n');
        }
    }
    weir_str_adds(out, ".SH OPTIONS\nEvery command takes these.\n");
    roff_options(out, weir_common_options);
    roff_exits(out);
    weir_str_adds(out, ".SH ENVIRONMENT\n");
    each_line(weir_environment_text, roff_item, out);
}
