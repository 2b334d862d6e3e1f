/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"

enum { NAMES_MAX = 96 };

static const struct weir_opt none[] = {{0}};

static const struct weir_opt *find_long(const struct weir_args *a, struct weir_sv name)
{
    const struct weir_opt *const table[] = {a->opts, a->common};
    for (size_t t = 0; t < WEIR_ARRAY_LEN(table); t++) {
        for (const struct weir_opt *o = table[t]; o->name != NULL; o++) {
            if (weir_sv_eq(name, weir_sv_of(o->name))) {
                return o;
            }
        }
    }
    return NULL;
}

static const struct weir_opt *find_letter(const struct weir_args *a, char letter)
{
    const struct weir_opt *const table[] = {a->opts, a->common};
    for (size_t t = 0; t < WEIR_ARRAY_LEN(table); t++) {
        for (const struct weir_opt *o = table[t]; o->name != NULL; o++) {
            if (o->letter == letter) {
                return o;
            }
        }
    }
    return NULL;
}

static int fail_unknown(const struct weir_args *a, struct weir_sv name, struct weir_err *err)
{
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    const struct weir_opt *const table[] = {a->opts, a->common};
    for (size_t t = 0; t < WEIR_ARRAY_LEN(table); t++) {
        for (const struct weir_opt *o = table[t]; o->name != NULL && n < NAMES_MAX; o++) {
            names[n++] = o->name;
        }
    }
    names[n] = NULL;
    const char *near = weir_nearest(name, names);
    if (near != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "unknown option '--%.*s'; did you mean '--%s'?", WEIR_SV_ARG(name), near);
    }
    return weir_fail(err, -WEIR_EINVAL, "unknown option '--%.*s'; '--help' lists the options", WEIR_SV_ARG(name));
}

static int check_choice(const struct weir_opt *o, const char *text, struct weir_err *err)
{
    struct weir_str all = WEIR_STR_INIT(256);
    for (const char *const *c = o->choices; *c != NULL; c++) {
        if (weir_streq(*c, text)) {
            weir_str_release(&all);
            return 0;
        }
        weir_str_addf(&all, "%s%s", all.n > 0 ? ", " : "", *c);
    }
    int r = weir_fail(err, -WEIR_EINVAL, "'%s' is not one of %s", text, weir_str_cstr(&all));
    weir_str_release(&all);
    return r;
}

static int check_value(const struct weir_opt *o, const char *text, struct weir_err *err)
{
    struct weir_sv s = weir_sv_of(text);
    uint64_t count;
    int64_t micro;
    char currency[WEIR_CURRENCY_SIZE];
    struct weir_dur d;
    struct weir_wall t;
    int r = 0;
    switch (o->kind) {
    case WEIR_OPT_FLAG:
        return 0;
    case WEIR_OPT_TEXT:
        r = s.n > 0 ? 0 : weir_fail(err, -WEIR_EINVAL, "the value is empty");
        break;
    case WEIR_OPT_COUNT:
        r = weir_parse_u64(s, o->min, o->max == 0 ? UINT64_MAX : o->max, &count, err);
        if (r == -WEIR_EOVERFLOW && o->max == 0) {
            r = weir_fail(err, r, "%.60s is not a number from %llu on", text, (unsigned long long)o->min);
        }
        break;
    case WEIR_OPT_DURATION:
        r = weir_parse_duration(s, &d, err);
        break;
    case WEIR_OPT_MONEY:
        r = weir_parse_money(s, &micro, currency, err);
        if (r == 0 && micro < 0) {
            r = weir_fail(err, -WEIR_EINVAL, "%.60s is less than nothing", text);
        }
        break;
    case WEIR_OPT_TIME:
        r = weir_parse_time(s, &t, err);
        break;
    case WEIR_OPT_CHOICE:
        r = check_choice(o, text, err);
        break;
    }
    return r == 0 ? 0 : weir_fail_prefix(err, r, "option '--%s %s'", o->name, o->arg);
}

static int add_value(struct weir_args *a, const struct weir_opt *o, const char *text, struct weir_err *err)
{
    int r = check_value(o, text, err);
    if (r == 0) {
        a->value[a->n_values++] = (struct weir_arg_value){o, text};
    }
    return r;
}

/* "--name", "--name=value" or "--name value"; *i moves on where the next word is the value. */
static int parse_long(struct weir_args *a, size_t n, char *const *word, size_t *i, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(word[*i] + 2);
    struct weir_sv name = weir_sv_cut(&rest, '=');
    const struct weir_opt *o = find_long(a, name);
    if (o == NULL) {
        return fail_unknown(a, name, err);
    }
    if (o->kind == WEIR_OPT_FLAG) {
        if (rest.p != NULL) {
            return weir_fail(err, -WEIR_EINVAL, "option '--%s' takes no value", o->name);
        }
        return add_value(a, o, "", err);
    }
    if (rest.p != NULL) {
        return add_value(a, o, rest.p, err);
    }
    if (*i + 1 >= n) {
        return weir_fail(err, -WEIR_EINVAL, "option '--%s' needs a value: --%s %s", o->name, o->name, o->arg);
    }
    return add_value(a, o, word[++*i], err);
}

/* "-f", "-fq", "-n5" or "-n 5". */
static int parse_short(struct weir_args *a, size_t n, char *const *word, size_t *i, struct weir_err *err)
{
    for (const char *p = word[*i] + 1; *p != '\0'; p++) {
        const struct weir_opt *o = find_letter(a, *p);
        if (o == NULL) {
            return weir_fail(err, -WEIR_EINVAL, "unknown option '-%c'; '--help' lists the options",
                             *p >= ' ' && *p <= '~' ? *p : '?');
        }
        if (o->kind == WEIR_OPT_FLAG) {
            (void)add_value(a, o, "", err);
            continue;
        }
        if (p[1] != '\0') {
            return add_value(a, o, p + 1, err);
        }
        if (*i + 1 >= n) {
            return weir_fail(err, -WEIR_EINVAL, "option '-%c' needs a value: -%c %s", *p, *p, o->arg);
        }
        return add_value(a, o, word[++*i], err);
    }
    return 0;
}

int weir_args_parse(struct weir_args *ret, const struct weir_opt *opts, const struct weir_opt *common, size_t n,
                    char *const *word, enum weir_opt_order order, struct weir_err *err)
{
    /* Each character of an option's word can give one value at most ("-fq"), each word one operand. All words count:
     * "--" does not end the options where it is itself an option's value. */
    size_t values_max = 1;
    for (size_t i = 0; i < n; i++) {
        values_max += word[i][0] == '-' ? strlen(word[i]) : 0;
    }
    *ret = (struct weir_args){
        .opts = opts != NULL ? opts : none,
        .common = common != NULL ? common : none,
        .value = weir_calloc(values_max, sizeof *ret->value),
        .operand = weir_calloc(n + 1, sizeof *ret->operand),
    };
    bool ended = false;
    for (size_t i = 0; i < n; i++) {
        int r = 0;
        if (ended || word[i][0] != '-' || word[i][1] == '\0') {
            ret->operand[ret->n_operands++] = word[i];
            ended = ended || order == WEIR_OPT_OPERAND_ENDS;
        } else if (weir_streq(word[i], "--")) {
            ended = true;
        } else if (word[i][1] == '-') {
            r = parse_long(ret, n, word, &i, err);
        } else {
            r = parse_short(ret, n, word, &i, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

void weir_args_release(struct weir_args *a)
{
    free(a->value);
    free(a->operand);
    *a = (struct weir_args){0};
}

const char *weir_args_nth(const struct weir_args *a, const char *name, size_t i)
{
    const struct weir_opt *o = find_long(a, weir_sv_of(name));
    WEIR_ASSERT(o != NULL);
    for (size_t k = 0; k < a->n_values; k++) {
        if (a->value[k].opt == o && i-- == 0) {
            return a->value[k].text;
        }
    }
    return NULL;
}

const char *weir_args_text(const struct weir_args *a, const char *name)
{
    const struct weir_opt *o = find_long(a, weir_sv_of(name));
    WEIR_ASSERT(o != NULL);
    for (size_t k = a->n_values; k > 0; k--) {
        if (a->value[k - 1].opt == o) {
            return a->value[k - 1].text;
        }
    }
    return NULL;
}

bool weir_args_has(const struct weir_args *a, const char *name)
{
    return weir_args_text(a, name) != NULL;
}

uint64_t weir_args_count(const struct weir_args *a, const char *name, uint64_t otherwise)
{
    const char *text = weir_args_text(a, name);
    uint64_t v = otherwise;
    if (text != NULL) {
        (void)weir_parse_u64(weir_sv_of(text), 0, UINT64_MAX, &v, NULL);
    }
    return v;
}

struct weir_dur weir_args_duration(const struct weir_args *a, const char *name, struct weir_dur otherwise)
{
    const char *text = weir_args_text(a, name);
    struct weir_dur v = otherwise;
    if (text != NULL) {
        (void)weir_parse_duration(weir_sv_of(text), &v, NULL);
    }
    return v;
}

int64_t weir_args_money(const struct weir_args *a, const char *name, int64_t otherwise, char ret_currency[static WEIR_CURRENCY_SIZE])
{
    const char *text = weir_args_text(a, name);
    int64_t v = otherwise;
    ret_currency[0] = '\0';
    if (text != NULL) {
        (void)weir_parse_money(weir_sv_of(text), &v, ret_currency, NULL);
    }
    return v;
}

struct weir_wall weir_args_time(const struct weir_args *a, const char *name)
{
    const char *text = weir_args_text(a, name);
    struct weir_wall v = {0};
    if (text != NULL) {
        (void)weir_parse_time(weir_sv_of(text), &v, NULL);
    }
    return v;
}
