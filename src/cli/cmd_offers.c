/* SPDX-License-Identifier: Apache-2.0 */

/* weir offers: every way to get GPUs, owned ones first, with price, source and age. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "lists.h"

const struct weir_opt weir_opts_offers[] = {
    {"gpus", 'G', WEIR_OPT_TEXT, .arg = "GPUS", .help = "for a node with these: A100:8, a bare number for any model"},
    {"spot", 0, WEIR_OPT_FLAG, .help = "spot machines only"},
    {"region", 0, WEIR_OPT_TEXT, .arg = "PATTERN", .help = "regions like eu-*"},
    {"cloud", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "only of this provider"},
    {"launchable", 'l', WEIR_OPT_FLAG, .help = "only what weir can start now: no mere prices"},
    {"all", 'a', WEIR_OPT_FLAG, .help = "what is excluded too, with the reason"},
    {"live", 0, WEIR_OPT_FLAG, .help = "ask all providers for their prices now, for up to 2 s"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many (default 50)", .min = 1},
    {0},
};

static void cell_cores(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(64);
    int64_t milli = weir_get_i64(o, "cpu_milli", 0);
    if (milli > 0) { /* price lists do not always tell */
        weir_out_milli(&s, milli);
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void cell_age(struct weir_table *t, const json_t *o)
{
    char buf[WEIR_RFC3339_SIZE];
    int64_t age_s = weir_get_i64(o, "age_s", -1);
    weir_table_cell(t, age_s >= 0 ? weir_dur_format(weir_dur_s(age_s), buf) : NULL);
}

static void add_rate(struct weir_str *s, int64_t ppm_per_hour)
{
    weir_str_addf(s, "%" PRId64 ".%02" PRId64 " %%/h", ppm_per_hour / 10000, ppm_per_hour % 10000 / 100);
}

/* What machines that were rented before have taught: what is believed by now, and what the offer says of itself. */
static void learned_text(struct weir_str *s, const json_t *l)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_addf(s, "learned: boot %s", weir_dur_format(weir_dur_s(weir_get_i64(l, "boot_s", 0)), buf));
    weir_str_addf(s, " (listed %s)", weir_dur_format(weir_dur_s(weir_get_i64(l, "boot_listed_s", 0)), buf));
    if (weir_get_i64(l, "reclaim_ppm_per_hour", 0) > 0) {
        weir_str_adds(s, ", reclaimed ");
        add_rate(s, weir_get_i64(l, "reclaim_ppm_per_hour", 0));
        weir_str_adds(s, " (listed ");
        add_rate(s, weir_get_i64(l, "reclaim_listed_ppm_per_hour", 0));
        weir_str_addc(s, ')');
    }
    if (weir_get_i64(l, "lost_s", 0) > 0) {
        weir_str_addf(s, ", failed launches cost %s", weir_dur_format(weir_dur_s(weir_get_i64(l, "lost_s", 0)), buf));
    }
    weir_str_addf(s, ", by %" PRId64 " launches, %" PRId64 " of its market", weir_get_i64(l, "launches", 0), weir_get_i64(l, "launches_of_market", 0));
}

/* One without a price in the ledger's currency has its own. */
static void cell_price(struct weir_table *t, const json_t *o)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(256);
    int64_t price = weir_get_i64(o, "price_micro_per_hour", 0);
    if (price == 0 && weir_get_is_set(o, "original_currency")) {
        weir_list_add_quoted(&s, o);
    } else {
        weir_out_rate(&s, price, weir_get_currency(o));
    }
    weir_table_cell(t, weir_str_cstr(&s));
}

static void cell_note(struct weir_table *t, const json_t *o)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(1024);
    const char *verdict = weir_get_text(o, "verdict");
    const char *reason = weir_get_text(o, "reason");
    const json_t *learned = json_object_get(o, "learned");
    bool included = verdict == NULL || weir_sv_starts(weir_sv_of(verdict), WEIR_SV("included"));
    if (included && weir_get_is_set(o, "original_currency")) {
        weir_list_add_quoted(&s, o);
        weir_str_adds(&s, weir_get_bool(o, "launchable") && !json_is_object(learned) ? "" : "; ");
    }
    if (!included) {
        weir_str_addf(&s, "%s%s%s", verdict, reason != NULL ? ": " : "", reason != NULL ? reason : "");
    } else if (!weir_get_bool(o, "launchable")) {
        bool known = json_is_true(json_object_get(o, "is_known"));
        weir_str_adds(&s, known ? "price only: its provider does not offer it now" : "price only: no provider configured that rents it");
    } else if (json_is_object(learned)) {
        learned_text(&s, learned);
    }
    weir_table_cell(t, s.n == 0 ? NULL : weir_str_cstr(&s));
}

static void print_table(const json_t *items)
{
    static const struct weir_field field[] = {
        {"PROVIDER", WEIR_FIELD_TEXT, "provider"},
        {"REGION", WEIR_FIELD_TEXT, "region"},
        {"INSTANCE TYPE", WEIR_FIELD_TEXT, "instance_type", .shrink = true},
        {"MARKET", WEIR_FIELD_TEXT, "market"},
        {"GPUS", WEIR_FIELD_GPUS, "gpu", "gpus"},
        {"GPU MEMORY", WEIR_FIELD_MIB, "gpu_mem_mib", .drop = 2},
        {"CORES", WEIR_FIELD_FN, .drop = 3, .right = true, .cell = cell_cores},
        {"MEMORY", WEIR_FIELD_MIB, "mem_mib", .drop = 4},
        {"PRICE", WEIR_FIELD_FN, .right = true, .cell = cell_price},
        {"PER GPU", WEIR_FIELD_RATE, "price_micro_per_gpu_hour"},
        {"SOURCE", WEIR_FIELD_TEXT, "source", .shrink = true, .drop = 5},
        {"AGE", WEIR_FIELD_FN, .drop = 1, .right = true, .cell = cell_age},
        {"NOTE", WEIR_FIELD_FN, .shrink = true, .drop = 6, .cell = cell_note},
    };
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t =
        weir_fields_table(field, WEIR_ARRAY_LEN(field), items, "USD");
    weir_table_print(t, stdout);
}

/* Which offers are of providers that are configured, launchable or not. */
static void mark_known(const json_t *items, const json_t *feeds)
{
    size_t i;
    size_t k;
    json_t *o;
    json_t *f;
    json_array_foreach(items, i, o)
    {
        const char *of = weir_get_text(o, "provider");
        json_array_foreach(feeds, k, f)
        {
            const char *name = weir_get_text(f, "provider");
            if (of != NULL && name != NULL && weir_streq(of, name)) {
                (void)json_object_set_new(o, "is_known", json_true());
            }
        }
    }
}

/* What is the matter with a provider's prices, and how old they are then. */
static void tell_feeds(const json_t *feeds)
{
    size_t i;
    json_t *f;
    json_array_foreach(feeds, i, f)
    {
        char buf[WEIR_RFC3339_SIZE];
        const char *name = weir_get_text(f, "provider");
        const char *state = weir_get_text(f, "state");
        const char *text = weir_get_text(f, "text");
        int64_t age_s = weir_get_i64(f, "age_s", -1);
        bool is_now = state != NULL && weir_streq(state, "answered");
        if (name == NULL || state == NULL || weir_streq(state, "none") || (is_now && text == NULL)) {
            continue;
        }
        if (is_now) {
            weir_talk("%s", text);
        } else if (age_s >= 0) {
            weir_talk("%s: %s; its prices are those of %s ago", name, text != NULL ? text : "has not answered in time", weir_dur_format(weir_dur_s(age_s), buf));
        } else {
            weir_talk("%s: %s; its prices are the catalogue's", name, text != NULL ? text : "has not answered in time");
        }
    }
}

static void tell_unpriced(const json_t *kinds)
{
    size_t i;
    json_t *k;
    json_array_foreach(kinds, i, k)
    {
        int64_t n = weir_get_i64(k, "offers", 0);
        const char *reason = weir_get_text(k, "reason");
        weir_talk("%" PRId64 " offer%s in %s %s left out: %s", n, n == 1 ? "" : "s", weir_get_currency(k), n == 1 ? "is" : "are", reason == NULL ? "" : reason);
    }
}

int weir_cmd_offers(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_adds(&path, "/v1/offers");
    weir_query_add(&path, "gpus", weir_args_text(args, "gpus"));
    weir_query_add(&path, "region", weir_args_text(args, "region"));
    weir_query_add(&path, "cloud", weir_args_text(args, "cloud"));
    weir_query_add(&path, "spot", weir_args_has(args, "spot") ? "true" : NULL);
    weir_query_add(&path, "launchable", weir_args_has(args, "launchable") ? "true" : NULL);
    weir_query_add(&path, "all", weir_args_has(args, "all") ? "true" : NULL);
    weir_query_add(&path, "live", weir_args_has(args, "live") ? "true" : NULL);
    /* The one list without a cursor: what is asked for comes whole. */
    uint64_t limit = weir_args_count(args, "limit", 50);
    weir_query_add_u64(&path, "limit", limit < WEIR_CLIENT_PAGE_MAX ? limit : WEIR_CLIENT_PAGE_MAX);
    json_t *answer = NULL;
    r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &answer, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    json_t *items = json_object_get(answer, "items");
    tell_feeds(json_object_get(answer, "feeds"));
    tell_unpriced(json_object_get(answer, "unpriced"));
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else if (json_array_size(items) == 0) {
        weir_talk("no offers%s", weir_args_has(args, "all") ? "" : "; --all shows what is excluded and why");
    } else {
        mark_known(items, json_object_get(answer, "feeds"));
        print_table(items);
    }
    json_decref(answer);
    return 0;
}
