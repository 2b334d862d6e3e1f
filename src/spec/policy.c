/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/policy.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"

static const char *const places[] = {"anywhere", "owned", "rented"};
static const char *const markets[] = {"any", "spot", "on-demand"};

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

static int read_text(const json_t *o, const char *key, char *buf, size_t size, struct weir_err *err)
{
    struct weir_sv s = weir_sv_of(text_of(o, key));
    if (s.n >= size || !weir_utf8_is_text(s)) {
        return weir_fail(err, -WEIR_EINVAL, "%s: text of at most %zu bytes is wanted", key, size - 1);
    }
    (void)snprintf(buf, size, "%.*s", (int)s.n, s.p);
    return 0;
}

static int read_word(const json_t *o, const char *key, const char *const *words, uint8_t *ret, struct weir_err *err)
{
    const char *word = text_of(o, key);
    for (uint8_t i = 0; i < 3; i++) {
        if (word[0] == '\0' || weir_streq(word, words[i])) {
            *ret = word[0] == '\0' ? 0 : i;
            return 0;
        }
    }
    return weir_fail(err, -WEIR_EINVAL, "%s must be %s, %s or %s", key, words[0], words[1], words[2]);
}

static int read_number(const json_t *o, const char *key, uint32_t otherwise, uint32_t *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (v != NULL && (json_integer_value(v) < 0 || json_integer_value(v) > 1000000)) {
        return weir_fail(err, -WEIR_EINVAL, "%s must be between 0 and 1000000", key);
    }
    *ret = v == NULL ? otherwise : (uint32_t)json_integer_value(v);
    return 0;
}

static int read_time(const json_t *o, const char *key, struct weir_wall *ret, struct weir_err *err)
{
    const char *s = text_of(o, key);
    *ret = (struct weir_wall){0};
    int r = s[0] == '\0' ? 0 : weir_parse_time(weir_sv_of(s), ret, err);
    return r < 0 ? weir_fail_prefix(err, r, "%s", key) : 0;
}

static int read_effect(const json_t *o, bool *ret_deny, struct weir_err *err)
{
    const char *word = text_of(o, "effect");
    *ret_deny = weir_streq(word, "deny");
    return *ret_deny || weir_streq(word, "allow") ? 0 : weir_fail(err, -WEIR_EINVAL, "effect must be allow or deny");
}

int weir_policy_read(const json_t *o, const char *name, const char *currency, struct weir_policy_row *ret, struct weir_err *err)
{
    struct weir_policy_row x = {.version = (uint64_t)json_integer_value(json_object_get(o, "version"))};
    struct weir_policy_rule *p = &x.rule;
    const char *price = text_of(o, "price_above");
    const char *duration = text_of(o, "duration_above");
    if (name[0] == '\0' || strlen(name) >= sizeof x.name || !weir_utf8_is_text(weir_sv_of(name))) {
        return weir_fail(err, -WEIR_EINVAL, "a policy's name has 1 to %zu bytes", sizeof x.name - 1);
    }
    (void)snprintf(x.name, sizeof x.name, "%s", name);
    int r = read_effect(o, &p->deny, err);
    r = r < 0 ? r : read_number(o, "order", WEIR_POLICY_ORDER, &x.order, err);
    r = r < 0 ? r : read_number(o, "nodes_above", 0, &x.nodes_above, err);
    r = r < 0 ? r : read_text(o, "project", x.project, sizeof x.project, err);
    r = r < 0 ? r : read_text(o, "user", x.user, sizeof x.user, err);
    r = r < 0 ? r : read_text(o, "image", x.image, sizeof x.image, err);
    r = r < 0 ? r : read_text(o, "without_tag", x.without_tag, sizeof x.without_tag, err);
    if (r == 0 && (x.without_tag[0] == '=' || x.without_tag[strlen(x.without_tag) == 0 ? 0 : strlen(x.without_tag) - 1] == '=')) {
        r = weir_fail(err, -WEIR_EINVAL, "without_tag: it is KEY, or KEY=VALUE,VALUE...");
    }
    r = r < 0 ? r : read_text(o, "reason", x.reason, sizeof x.reason, err);
    r = r < 0 ? r : read_text(o, "provider", p->provider, sizeof p->provider, err);
    r = r < 0 ? r : read_text(o, "region", p->region, sizeof p->region, err);
    r = r < 0 ? r : read_text(o, "gpu", p->gpu, sizeof p->gpu, err);
    r = r < 0 ? r : read_word(o, "place", places, &p->place, err);
    r = r < 0 ? r : read_word(o, "market", markets, &p->market, err);
    r = r < 0 ? r : read_time(o, "from", &x.from, err);
    r = r < 0 ? r : read_time(o, "until", &x.until, err);
    if (r == 0 && price[0] != '\0') {
        r = weir_parse_money_in(weir_sv_of(price), currency, &p->price_above_micro, err);
        r = r == 0 && p->price_above_micro <= 0 ? weir_fail(err, -WEIR_EINVAL, "must be more than nothing") : r;
        r = r < 0 ? weir_fail_prefix(err, r, "price_above") : r;
    }
    if (r == 0 && duration[0] != '\0') {
        r = weir_parse_duration(weir_sv_of(duration), &x.duration_above, err);
        r = r < 0 ? weir_fail_prefix(err, r, "duration_above") : r;
    }
    if (r == 0 && x.until.us != 0 && x.until.us <= x.from.us) {
        r = weir_fail(err, -WEIR_EINVAL, "until must be after from");
    }
    if (r == 0 && p->place == WEIR_POLICY_OWNED && (p->provider[0] != '\0' || p->price_above_micro > 0 || p->market != WEIR_POLICY_ANY_MARKET)) {
        r = weir_fail(err, -WEIR_EINVAL, "provider, price_above and market are of rented machines: this row would take nothing");
    }
    if (r == 0) {
        *ret = x;
    }
    return r;
}

static void text(struct weir_json *j, const char *key, const char *s)
{
    if (s[0] != '\0') {
        weir_json_kv_cstr(j, key, s);
    }
}

static void when(struct weir_json *j, const char *key, struct weir_wall t)
{
    if (t.us != 0) {
        weir_json_kv_time(j, key, t);
    }
}

void weir_policy_write(const struct weir_policy_row *x, struct weir_json *j)
{
    const struct weir_policy_rule *p = &x->rule;
    char money[WEIR_MONEY_SIZE];
    char span[64];
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", x->name);
    weir_json_kv_u64(j, "order", x->order);
    weir_json_kv_cstr(j, "effect", p->deny ? "deny" : "allow");
    text(j, "project", x->project);
    text(j, "user", x->user);
    text(j, "image", x->image);
    text(j, "without_tag", x->without_tag);
    if (x->nodes_above > 0) {
        weir_json_kv_u64(j, "nodes_above", x->nodes_above);
    }
    if (x->duration_above.us > 0) {
        (void)snprintf(span, sizeof span, "%llds", (long long)(x->duration_above.us / WEIR_US_PER_S));
        weir_json_kv_cstr(j, "duration_above", span);
    }
    text(j, "place", p->place == 0 ? "" : places[p->place]);
    text(j, "provider", p->provider);
    text(j, "region", p->region);
    text(j, "gpu", p->gpu);
    text(j, "market", p->market == 0 ? "" : markets[p->market]);
    if (p->price_above_micro > 0) {
        weir_json_kv_cstr(j, "price_above", weir_money_format(p->price_above_micro, money));
    }
    when(j, "from", x->from);
    when(j, "until", x->until);
    text(j, "reason", x->reason);
    weir_json_kv_u64(j, "version", x->version);
    weir_json_end(j);
}

static int row_order(const void *a, const void *b)
{
    const struct weir_policy_row *x = a;
    const struct weir_policy_row *y = b;
    return x->order != y->order ? (x->order < y->order ? -1 : 1) : strcmp(x->name, y->name);
}

void weir_policy_sort(struct weir_policy_row *row, size_t n)
{
    if (n > 1) {
        qsort(row, n, sizeof *row, row_order);
    }
}

static bool matches(const char *pattern, const char *s)
{
    return pattern[0] == '\0' || weir_glob_match(weir_sv_of(pattern), weir_sv_of(s));
}

/* As budgets of tags are matched: whatever the case. */
static bool matches_nocase(struct weir_sv pattern, const char *s)
{
    char low[2][2 * WEIR_SPEC_NAME_MAX + 2];
    const struct weir_sv text[2] = {pattern, weir_sv_of(s)};
    for (size_t k = 0; k < 2; k++) {
        if (text[k].n >= sizeof low[k]) {
            return false;
        }
        for (size_t i = 0; i < text[k].n; i++) {
            char c = text[k].p[i];
            low[k][i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        low[k][text[k].n] = '\0';
    }
    return weir_glob_match(weir_sv_of(low[0]), weir_sv_of(low[1]));
}

static bool has_tag(const struct weir_policy_subject *s, const char *wanted)
{
    struct weir_sv globs = weir_sv_of(wanted);
    struct weir_sv key = weir_sv_cut(&globs, '=');
    for (size_t i = 0; i < s->n_tags; i++) {
        struct weir_sv rest = globs;
        bool found = weir_sv_eq_nocase(key, weir_sv_of(s->tags[i].key)) && rest.p == NULL && s->tags[i].value[0] != '\0';
        while (!found && rest.p != NULL && weir_sv_eq_nocase(key, weir_sv_of(s->tags[i].key))) {
            found = matches_nocase(weir_sv_cut(&rest, ','), s->tags[i].value);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

bool weir_policy_asks_file(const struct weir_policy_row *x)
{
    return x->image[0] != '\0' || x->without_tag[0] != '\0';
}

bool weir_policy_takes(const struct weir_policy_row *x, const struct weir_policy_subject *s)
{
    return s->now.us >= x->from.us && (x->until.us == 0 || s->now.us < x->until.us) && (x->nodes_above == 0 || s->nodes > x->nodes_above) &&
           (x->duration_above.us == 0 || s->max_duration.us > x->duration_above.us) && matches(x->project, s->project) &&
           matches(x->user, s->user) && (x->without_tag[0] == '\0' || !has_tag(s, x->without_tag)) && (x->image[0] == '\0' || (s->image[0] != '\0' && matches(x->image, s->image)));
}

bool weir_policy_is_whole(const struct weir_policy_row *x)
{
    const struct weir_policy_rule *p = &x->rule;
    return p->place == WEIR_POLICY_ANYWHERE && p->market == WEIR_POLICY_ANY_MARKET && p->provider[0] == '\0' && p->region[0] == '\0' && p->gpu[0] == '\0' &&
           p->price_above_micro == 0;
}

struct weir_wall weir_policy_next(const struct weir_policy_row *row, size_t n, struct weir_wall now)
{
    struct weir_wall next = WEIR_WALL_MAX;
    for (size_t i = 0; i < n; i++) {
        next = row[i].from.us > now.us && row[i].from.us < next.us ? row[i].from : next;
        next = row[i].until.us > now.us && row[i].until.us < next.us ? row[i].until : next;
    }
    return next;
}
