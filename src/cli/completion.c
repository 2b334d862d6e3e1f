/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Shell completions, written from the command table. Words only: commands, options, the choices of
 * an option; files where a command takes files. No call to the broker, so that a key press never waits.
 */

#include "help.h"

static bool takes_files(const struct weir_cli_command *c)
{
    return strstr(c->operands, "FILE") != NULL || strstr(c->operands, "COMMAND") != NULL;
}

/* Verbs written in the synopsis, like "[drain|resume|remove NODE...]". */
static void add_verbs(const struct weir_cli_command *c, struct weir_str *out)
{
    const char *p = c->operands;
    for (size_t n; *p != '\0'; p += n) {
        n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (n == 0) {
            n = 1;
            continue;
        }
        weir_str_addc(out, ' ');
        weir_str_add(out, p, n);
    }
}

static void each_command(void (*fn)(const struct weir_cli_command *c, struct weir_str *out), struct weir_str *out)
{
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        if (c->group != NULL) {
            fn(c, out);
        }
    }
}

static void add_name(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, " %s", c->name);
}

static void each_option(const struct weir_cli_command *c,
                        void (*fn)(const struct weir_cli_command *c, const struct weir_opt *o, struct weir_str *out),
                        struct weir_str *out)
{
    const struct weir_opt *const table[] = {c->opts, weir_common_options};
    for (size_t t = 0; t < 2; t++) {
        for (const struct weir_opt *o = table[t]; o != NULL && o->name != NULL; o++) {
            fn(c, o, out);
        }
    }
}

/* ---- bash ---- */

static void bash_option(const struct weir_cli_command *c, const struct weir_opt *o, struct weir_str *out)
{
    (void)c;
    weir_str_addf(out, " --%s", o->name);
    if (o->letter != '\0') {
        weir_str_addf(out, " -%c", o->letter);
    }
}

static void bash_choices(const struct weir_cli_command *c, const struct weir_opt *o, struct weir_str *out)
{
    if (o->kind != WEIR_OPT_CHOICE) {
        return;
    }
    weir_str_addf(out, "    '%s --%s') words='", c->name, o->name);
    for (const char *const *w = o->choices; *w != NULL; w++) {
        weir_str_addf(out, "%s%s", w != o->choices ? " " : "", *w);
    }
    weir_str_adds(out, "' ;;\n");
}

static void bash_command_choices(const struct weir_cli_command *c, struct weir_str *out)
{
    each_option(c, bash_choices, out);
}

static void bash_command(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, "    %s) options='", c->name);
    each_option(c, bash_option, out);
    weir_str_adds(out, "' verbs='");
    add_verbs(c, out);
    weir_str_addf(out, "' files=%d ;;\n", takes_files(c) ? 1 : 0);
}

static void bash(struct weir_str *out)
{
    weir_str_adds(out, "# bash completion for weir; load it with: source <(weir completion bash)\n"
                       "_weir() {\n"
                       "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                       "  local command=${COMP_WORDS[1]} words= options= verbs= files=0\n"
                       "  COMPREPLY=()\n"
                       "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
    each_command(add_name, out);
    weir_str_adds(out, "' -- \"$current\"))\n    return\n  fi\n  case \"$command $previous\" in\n");
    each_command(bash_command_choices, out);
    weir_str_adds(out, "  esac\n  if [[ -n $words ]]; then\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n "
                       "   return\n  fi\n"
                       "  case \"$command\" in\n");
    each_command(bash_command, out);
    weir_str_adds(out, "  esac\n"
                       "  if [[ $current == -* ]]; then\n"
                       "    COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
                       "  elif ((COMP_CWORD == 2)) && [[ -n $verbs ]]; then\n"
                       "    COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"))\n"
                       "  elif ((files)); then\n"
                       "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
                       "  fi\n"
                       "}\n"
                       "complete -o filenames -F _weir weir\n");
}

/* ---- zsh ---- */

/* Text within single quotes of a zsh or fish script; zsh's own marks get a backslash. */
static void quoted(struct weir_str *out, const char *text, const char *marks)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            weir_str_adds(out, "'\\''");
        } else {
            if (strchr(marks, *p) != NULL) {
                weir_str_addc(out, '\\');
            }
            weir_str_addc(out, *p);
        }
    }
}

static void zsh_name(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, "    '%s:", c->name);
    quoted(out, c->summary, ":\\");
    weir_str_adds(out, "'\n");
}

static void zsh_option(const struct weir_cli_command *c, const struct weir_opt *o, struct weir_str *out)
{
    (void)c;
    weir_str_adds(out, " \\\n        '");
    if (o->letter != '\0' && !o->many) {
        weir_str_addf(out, "(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    } else {
        weir_str_addf(out, "%s--%s", o->many ? "*" : "", o->name);
    }
    weir_str_addc(out, '[');
    quoted(out, o->help, "[]:\\");
    weir_str_addc(out, ']');
    if (o->arg != NULL) {
        weir_str_addf(out, ":%s:", o->arg);
        for (const char *const *w = o->choices; w != NULL && *w != NULL; w++) {
            weir_str_addf(out, "%s%s%s", w == o->choices ? "(" : " ", *w, w[1] == NULL ? ")" : "");
        }
        if (weir_streq(o->arg, "FILE") || weir_streq(o->arg, "DIR")) {
            weir_str_adds(out, "_files");
        }
    }
    weir_str_addc(out, '\'');
}

static void zsh_command(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, "    %s) _arguments", c->name);
    each_option(c, zsh_option, out);
    struct weir_str verbs = WEIR_STR_INIT(256);
    add_verbs(c, &verbs);
    if (verbs.n > 0) {
        weir_str_addf(out, " \\\n        '1:verb:(%s)'", weir_str_cstr(&verbs) + 1);
    }
    weir_str_release(&verbs);
    weir_str_addf(out, "%s ;;\n", takes_files(c) ? " \\\n        '*:file:_files'" : "");
}

static void zsh(struct weir_str *out)
{
    weir_str_adds(out, "#compdef weir\n# zsh completion for weir; put it into a folder of $fpath as _weir\n"
                       "_weir() {\n  local -a commands\n  commands=(\n");
    each_command(zsh_name, out);
    weir_str_adds(out, "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n"
                       "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n");
    each_command(zsh_command, out);
    weir_str_adds(out,
                  "  esac\n}\nif [[ $funcstack[1] == _weir ]]; then\n  _weir \"$@\"\nelse\n  compdef _weir weir\nfi\n");
}

/* ---- fish ---- */

static void fish_option(const struct weir_cli_command *c, const struct weir_opt *o, struct weir_str *out)
{
    weir_str_addf(out, "complete -c weir -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
    if (o->letter != '\0') {
        weir_str_addf(out, " -s %c", o->letter);
    }
    if (o->arg != NULL) {
        weir_str_adds(out, weir_streq(o->arg, "FILE") || weir_streq(o->arg, "DIR") ? " -r -F" : " -x");
    }
    if (o->kind == WEIR_OPT_CHOICE) {
        weir_str_adds(out, " -a '");
        for (const char *const *w = o->choices; *w != NULL; w++) {
            weir_str_addf(out, "%s%s", w != o->choices ? " " : "", *w);
        }
        weir_str_addc(out, '\'');
    }
    weir_str_adds(out, " -d '");
    quoted(out, o->help, "\\");
    weir_str_adds(out, "'\n");
}

static void fish_command(const struct weir_cli_command *c, struct weir_str *out)
{
    weir_str_addf(out, "complete -c weir -n __fish_use_subcommand -f -a %s -d '", c->name);
    quoted(out, c->summary, "\\");
    weir_str_adds(out, "'\n");
    struct weir_str verbs = WEIR_STR_INIT(256);
    add_verbs(c, &verbs);
    if (verbs.n > 0 || !takes_files(c)) {
        weir_str_addf(out, "complete -c weir -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", c->name,
                      weir_str_cstr(&verbs));
    }
    weir_str_release(&verbs);
    each_option(c, fish_option, out);
}

bool weir_help_completion(const char *shell, struct weir_str *out)
{
    if (weir_streq(shell, "bash")) {
        bash(out);
    } else if (weir_streq(shell, "zsh")) {
        zsh(out);
    } else if (weir_streq(shell, "fish")) {
        weir_str_adds(out, "# fish completion for weir; load it with: weir completion fish | source\n");
        each_command(fish_command, out);
    } else {
        return false;
    }
    return true;
}
