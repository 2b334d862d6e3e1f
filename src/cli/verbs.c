/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/str.h"

enum { VERBS_MAX = 16 };

static bool has_word(const char *words, const char *word)
{
    struct weir_sv rest = weir_sv_of(words == NULL ? "" : words);
    while (rest.n > 0) {
        struct weir_sv one = weir_sv_cut(&rest, ' ');
        if (weir_sv_eq(one, weir_sv_of("*")) || weir_sv_eq(one, weir_sv_of(word))) {
            return true;
        }
    }
    return false;
}

static int fail_unknown(const struct weir_verb *verbs, const char *word, struct weir_err *err)
{
    const char *words[VERBS_MAX + 1] = {NULL};
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(1024);
    for (size_t i = 0; verbs[i].word != NULL && i < VERBS_MAX; i++) {
        words[i] = verbs[i].word;
        weir_str_addf(&all, "%s%s", i == 0 ? "" : ", ", verbs[i].word);
    }
    const char *near = weir_nearest(weir_sv_of(word), words);
    return weir_fail(err, -WEIR_EINVAL, "'%.100s' is not one of %s%s%s%s", word, weir_str_cstr(&all), near != NULL ? "; did you mean '" : "",
                     near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int check_operands(const char *command, const struct weir_verb *v, const struct weir_args *args, struct weir_err *err)
{
    const char *names = v->operands == NULL ? "" : v->operands;
    size_t n = names[0] != '\0' ? 1 : 0;
    for (const char *c = names; *c != '\0'; c++) {
        n += *c == ' ' ? 1 : 0;
    }
    size_t given = args->n_operands > 0 ? args->n_operands - 1 : 0;
    bool many = strstr(names, "...") != NULL;
    if (given < n) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' needs %s: weir %s %s %s", v->word, names, command, v->word, names);
    }
    if (given > n && !many) {
        return weir_fail(err, -WEIR_EINVAL, "'%.100s' is one argument too many: weir %s %s%s%s", args->operand[1 + n], command, v->word, n > 0 ? " " : "", names);
    }
    return 0;
}

static int check_options(const struct weir_verb *verbs, const struct weir_verb *v, const struct weir_args *args, struct weir_err *err)
{
    for (const struct weir_opt *o = args->opts; o->name != NULL; o++) {
        if (!weir_args_has(args, o->name) || has_word(v->options, o->name)) {
            continue;
        }
        WEIR_CLEANUP(weir_str_release) struct weir_str whose = WEIR_STR_INIT(256);
        for (const struct weir_verb *x = verbs; x->word != NULL; x++) {
            if (has_word(x->options, o->name)) {
                weir_str_addf(&whose, "%s'%s'", whose.n == 0 ? "" : " and ", x->word);
            }
        }
        return weir_fail(err, -WEIR_EINVAL, "option '--%s' is for %s, not for '%s'", o->name, weir_str_cstr(&whose), v->word);
    }
    return 0;
}

int weir_verb_run(const char *command, const struct weir_verb *verbs, const struct weir_args *args, struct weir_err *err)
{
    const struct weir_verb *v = verbs;
    if (args->n_operands > 0) {
        while (v->word != NULL && !weir_streq(v->word, args->operand[0])) {
            v++;
        }
    }
    if (v->word == NULL) {
        return fail_unknown(verbs, args->operand[0], err);
    }
    int r = check_operands(command, v, args, err);
    r = r < 0 ? r : check_options(verbs, v, args, err);
    return r < 0 ? r : v->fn(args, err);
}
