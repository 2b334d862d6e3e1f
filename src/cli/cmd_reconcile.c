/* SPDX-License-Identifier: Apache-2.0 */

/* weir reconcile: a provider's bill against the ledger. Lines go by once; what is kept of them is bounded by what is
 * ours. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api_client.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "command.h"
#include "invoice.h"
#include "output.h"
#include "progress.h"

enum {
    LINES_AT_ONCE = 4000,
    LEASES_AT_ONCE = 1000,
    BUCKETS_MAX = 10000, /* of other resources that are told one by one */
    BUCKETS_SHOWN = 20,
    PROGRESS_LINES = 4096,
    BODY_BYTES_MAX = 2 << 20,
    NANO_PER_MICRO = 1000,
};

const struct weir_opt weir_opts_reconcile[] = {
    {"rate", 0, WEIR_OPT_TEXT, .many = true, .arg = "CUR=RATE",
     .help = "what a unit of another currency of the file is in the ledger's, whatever 'weir rule' says"},
    {0},
};

/* What is not ours, by resource or kind. */
struct bucket {
    char *name;
    uint64_t lines;
    int64_t nano;
};

struct buckets {
    WEIR_VEC(struct bucket) items;
    struct weir_map at; /* hash -> index; probed by the next hash */
};

struct lease {
    uint64_t id;
    const char *instance; /* of the list */
    bool billed;          /* the file has lines of it */
};

struct rate {
    char currency[8];
    int64_t nano; /* of the ledger's unit, for a unit */
    struct weir_wall from; /* it holds from then */
    struct weir_wall until;
};

struct reconcile {
    struct weir_client *api;
    json_t *list; /* leases as the broker lists them */
    WEIR_VEC(struct lease) leases;
    struct weir_map by_instance; /* hash -> index; probed by the next hash */
    struct weir_map by_id;
    char owner[64];
    char currency[8];
    WEIR_VEC(struct rate) rates; /* those of the command line first, which hold for ever; then the broker's, the newest first */
    struct weir_map seen; /* identity -> lines of it so far */
    struct weir_str body;
    struct weir_json j;
    size_t pending; /* lines in the body */
    uint64_t lines;
    uint64_t matched;
    int64_t nano; /* of all lines, and of those of leases */
    int64_t matched_nano;
    struct buckets suspects;
    struct buckets foreign;
    struct buckets others;
    json_t *answers; /* leases as they were compared */
    uint64_t corrections;
};

/* ---- buckets ---- */

static void bucket_add(struct buckets *b, struct weir_sv name, int64_t nano)
{
    static const struct weir_sv rest = {"(further ones)", 14};
    uint64_t hash = weir_hash_bytes(name.p == NULL ? "" : name.p, name.n);
    uint64_t at;
    while (weir_map_get(&b->at, hash, &at) && !weir_sv_eq(weir_sv_of(b->items.p[at].name), name)) {
        hash++;
    }
    if (!weir_map_get(&b->at, hash, &at)) {
        if (b->items.n == BUCKETS_MAX && !weir_sv_eq(name, rest)) {
            bucket_add(b, rest, nano);
            return;
        }
        at = b->items.n;
        weir_map_put(&b->at, hash, at);
        weir_vec_push(&b->items, (struct bucket){.name = weir_strndup(name.p == NULL ? "" : name.p, name.n)});
    }
    b->items.p[at].lines++;
    b->items.p[at].nano = weir_i64_add_sat(b->items.p[at].nano, nano);
}

static int64_t buckets_nano(const struct buckets *b)
{
    int64_t sum = 0;
    for (size_t i = 0; i < b->items.n; i++) {
        sum = weir_i64_add_sat(sum, b->items.p[i].nano);
    }
    return sum;
}

static int bucket_order(const void *va, const void *vb)
{
    const struct bucket *a = va;
    const struct bucket *b = vb;
    return a->nano != b->nano ? (a->nano < b->nano ? 1 : -1) : strcmp(a->name, b->name);
}

static void buckets_release(struct buckets *b)
{
    for (size_t i = 0; i < b->items.n; i++) {
        free(b->items.p[i].name);
    }
    weir_vec_release(&b->items);
    weir_map_release(&b->at);
}

static int64_t micro_of(int64_t nano)
{
    int64_t up = weir_i64_add_sat(nano, NANO_PER_MICRO / 2);
    return up / NANO_PER_MICRO - (up % NANO_PER_MICRO < 0 ? 1 : 0);
}

/* ---- leases ---- */

static int load_leases(struct reconcile *x, struct weir_err *err)
{
    size_t i;
    uint64_t at;
    json_t *o;
    int r = weir_client_list(x->api, "/v1/leases?all=true", 0, &x->list, NULL, err);
    json_array_foreach(r < 0 ? NULL : x->list, i, o)
    {
        const char *instance = weir_get_text(o, "instance");
        struct lease l = {.id = (uint64_t)weir_get_i64(o, "id", 0), .instance = instance == NULL ? "" : instance};
        uint64_t hash = weir_hash_bytes(l.instance, strlen(l.instance));
        while (l.instance[0] != '\0' && weir_map_get(&x->by_instance, hash, &at)) {
            hash++;
        }
        weir_map_put(&x->by_id, l.id, x->leases.n);
        if (l.instance[0] != '\0') {
            weir_map_put(&x->by_instance, hash, x->leases.n);
        }
        weir_vec_push(&x->leases, l);
    }
    return r;
}

static struct lease *by_instance(struct reconcile *x, struct weir_sv name)
{
    uint64_t hash = weir_hash_bytes(name.p, name.n);
    uint64_t at;
    for (; name.n > 0 && weir_map_get(&x->by_instance, hash, &at); hash++) {
        if (weir_sv_eq(weir_sv_of(x->leases.p[at].instance), name)) {
            return &x->leases.p[at];
        }
    }
    return NULL;
}

/* Where our tag stands in the line's tags: behind it "-" and the lease's number may stand. */
static struct weir_sv behind_owner(const struct reconcile *x, struct weir_sv tags)
{
    size_t n = strlen(x->owner);
    const char *p = n == 0 || tags.n < n ? NULL : memmem(tags.p, tags.n, x->owner, n);
    return p == NULL ? (struct weir_sv){0} : (struct weir_sv){p + n, (size_t)(tags.p + tags.n - p) - n};
}

static struct lease *find_lease(struct reconcile *x, const struct weir_invoice_line *l, bool *ret_ours)
{
    struct lease *found = by_instance(x, l->resource);
    size_t at = l->resource.n;
    while (found == NULL && at > 0 && l->resource.p[at - 1] != '/' && l->resource.p[at - 1] != ':') {
        at--;
    }
    if (found == NULL && at > 0) {
        found = by_instance(x, (struct weir_sv){l->resource.p + at, l->resource.n - at});
    }
    struct weir_sv rest = behind_owner(x, l->tags);
    *ret_ours = rest.p != NULL;
    if (found == NULL && rest.n > 1 && rest.p[0] == '-') {
        uint64_t id = 0;
        uint64_t index;
        size_t n = 1;
        while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9') {
            n++;
        }
        if (weir_parse_u64((struct weir_sv){rest.p + 1, n - 1}, 1, INT64_MAX, &id, NULL) == 0 &&
            weir_map_get(&x->by_id, id, &index)) {
            found = &x->leases.p[index];
        }
    }
    return found;
}

/* ---- lines ---- */

static void begin_body(struct reconcile *x)
{
    weir_str_clear(&x->body);
    x->j = weir_json_begin(&x->body);
    weir_json_object(&x->j);
    weir_json_key(&x->j, "lines");
    weir_json_array(&x->j);
    x->pending = 0;
}

static int send_lines(struct reconcile *x, struct weir_err *err)
{
    json_t *o = NULL;
    weir_json_end(&x->j);
    weir_json_end(&x->j);
    int r = weir_client_call(x->api, "POST", "/v1/invoices/lines", weir_str_cstr(&x->body), &o, err);
    if (r == 0 && x->currency[0] == '\0') {
        const char *owner = weir_get_text(o, "owner");
        (void)snprintf(x->owner, sizeof x->owner, "%s", owner == NULL ? "" : owner);
        (void)snprintf(x->currency, sizeof x->currency, "%s", weir_get_currency(o));
    }
    json_decref(o);
    begin_body(x);
    return r;
}

static const struct rate *rate_of(const struct reconcile *x, const struct weir_invoice_line *l)
{
    for (size_t i = 0; i < x->rates.n; i++) {
        const struct rate *r = &x->rates.p[i];
        if (weir_sv_eq_nocase(l->currency, weir_sv_of(r->currency)) && r->from.us <= l->from.us && l->from.us < r->until.us) {
            return r;
        }
    }
    return NULL;
}

/* Into the ledger's currency, by the rate of the day on which the line begins. *ret_original: as it is billed, 0 where that is the same. */
static int convert(const struct reconcile *x, struct weir_invoice_line *l, int64_t *ret_original, struct weir_err *err)
{
    *ret_original = 0;
    if (weir_sv_eq_nocase(l->currency, weir_sv_of(x->currency))) {
        return 0;
    }
    const struct rate *r = rate_of(x, l);
    if (r != NULL) {
        *ret_original = l->nano;
        return weir_mul_div(l->nano, r->nano, 1000000000, &l->nano) ? 0 : weir_fail(err, -WEIR_EOVERFLOW, "the amount is out of range");
    }
    int n = (int)(l->currency.n < 8 ? l->currency.n : 8);
    struct weir_date d = weir_wall_to_date(l->from);
    return weir_fail(err, -WEIR_EINVAL,
                     "no rate of %.*s in %s on %04d-%02d-%02d: add one (weir rule add NAME exchange --currency %.*s --rate RATE --from %04d-%02d-%02d), or "
                     "say --rate %.*s=RATE", n, l->currency.p, x->currency, d.year, d.month, d.day, n, l->currency.p, d.year, d.month, d.day, n,
                     l->currency.p);
}

static int add_line(struct reconcile *x, struct lease *lease, const struct weir_invoice_line *l, int64_t original, struct weir_err *err)
{
    char time[WEIR_RFC3339_SIZE];
    char number[24];
    uint64_t before = 0;
    (void)weir_map_get(&x->seen, l->identity, &before);
    weir_map_put(&x->seen, l->identity, before + 1);
    (void)snprintf(number, sizeof number, "%" PRIu64,
                   weir_fnv_u64(l->identity, before)); /* equal lines of a file are told apart */
    lease->billed = true;
    x->matched++;
    x->matched_nano = weir_i64_add_sat(x->matched_nano, l->nano);
    weir_json_object(&x->j);
    weir_json_kv_u64(&x->j, "lease", lease->id);
    weir_json_kv_cstr(&x->j, "line", number);
    weir_json_kv_cstr(&x->j, "from", weir_wall_format(l->from, time));
    weir_json_kv_cstr(&x->j, "to", weir_wall_format(l->to, time));
    weir_json_kv_i64(&x->j, "nano", l->nano);
    if (original != 0) {
        weir_json_key(&x->j, "currency");
        weir_json_string(&x->j, l->currency);
        weir_json_kv_i64(&x->j, "original_nano", original);
    }
    weir_json_end(&x->j);
    return ++x->pending == LINES_AT_ONCE ? send_lines(x, err) : 0;
}

static int take_line(struct reconcile *x, const struct weir_invoice *v, struct weir_invoice_line *l,
                     struct weir_err *err)
{
    bool ours = false;
    int64_t original = 0;
    int r = l->nano == 0 ? 0 : convert(x, l, &original, err);
    if (r < 0) {
        return weir_invoice_fail(v, r, err);
    }
    x->lines++;
    x->nano = weir_i64_add_sat(x->nano, l->nano);
    struct lease *lease = find_lease(x, l, &ours);
    if (lease != NULL) {
        return add_line(x, lease, l, original, err);
    }
    if (ours) {
        bucket_add(&x->suspects, l->resource, l->nano);
    } else if (l->resource.n > 0) {
        bucket_add(&x->foreign, l->resource, l->nano);
    } else {
        bucket_add(&x->others, l->kind, l->nano);
    }
    return 0;
}

static int read_file(struct reconcile *x, const char *path, const char **ret_format, struct weir_err *err)
{
    WEIR_CLEANUP(weir_invoice_freep) struct weir_invoice *v = NULL;
    struct weir_invoice_line l;
    struct weir_progress progress;
    int r = weir_invoice_open(&v, path, err);
    if (r < 0) {
        return r;
    }
    *ret_format = weir_invoice_format(v);
    weir_progress_begin(&progress, path, weir_clock_mono(&weir_clock_os));
    while ((r = weir_invoice_next(v, &l, err)) > 0 && (r = take_line(x, v, &l, err)) == 0) {
        if (x->lines % PROGRESS_LINES == 0) {
            weir_progress_show(&progress, NULL, NULL, weir_invoice_permille(v), 1000, weir_clock_mono(&weir_clock_os));
        }
    }
    weir_progress_end(&progress);
    return r < 0 ? r : x->pending > 0 ? send_lines(x, err) : 0;
}

/* ---- differences ---- */

static int compare(struct reconcile *x, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(65536);
    int r = 0;
    x->answers = json_array();
    for (size_t i = 0; i < x->leases.n && r == 0;) {
        size_t n = 0;
        json_t *o = NULL;
        weir_str_clear(&body);
        struct weir_json j = weir_json_begin(&body);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "reason", path);
        weir_json_key(&j, "leases");
        weir_json_array(&j);
        for (; i < x->leases.n && n < LEASES_AT_ONCE; i++) {
            if (x->leases.p[i].billed) {
                weir_json_u64(&j, x->leases.p[i].id);
                n++;
            }
        }
        weir_json_end(&j);
        weir_json_end(&j);
        if (n > 0) {
            r = weir_client_call(x->api, "POST", "/v1/reconcile", weir_str_cstr(&body), &o, err);
            x->corrections += weir_get_is_set(o, "correction");
            (void)json_array_extend(x->answers, json_object_get(o, "leases"));
            json_decref(o);
        }
    }
    return r;
}

static int64_t answers_sum(const struct reconcile *x, const char *key)
{
    size_t i;
    json_t *o;
    int64_t sum = 0;
    json_array_foreach(x->answers, i, o)
    {
        sum = weir_i64_add_sat(sum, weir_get_i64(o, key, 0));
    }
    return sum;
}

/* ---- results ---- */

static void buckets_json(struct weir_json *j, const char *key, const struct buckets *b)
{
    weir_json_key(j, key);
    weir_json_array(j);
    for (size_t i = 0; i < b->items.n; i++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "name", b->items.p[i].name);
        weir_json_kv_u64(j, "lines", b->items.p[i].lines);
        weir_json_kv_i64(j, "amount_micro", micro_of(b->items.p[i].nano));
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void print_json(const struct reconcile *x, const char *format)
{
    static const char *const sums[] = {"invoiced_micro", "booked_micro", "corrected_micro", "residual_micro"};
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(64 << 20);
    WEIR_CLEANUP(weir_freep) char *leases = json_dumps(x->answers, JSON_COMPACT);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "format", format);
    weir_json_kv_cstr(&j, "currency", x->currency);
    weir_json_kv_u64(&j, "lines", x->lines);
    weir_json_kv_i64(&j, "amount_micro", micro_of(x->nano));
    weir_json_kv_u64(&j, "matched_lines", x->matched);
    weir_json_kv_u64(&j, "corrections", x->corrections);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sums); i++) {
        weir_json_kv_i64(&j, sums[i], answers_sum(x, sums[i]));
    }
    weir_json_key(&j, "leases");
    weir_json_raw(&j, weir_sv_of(leases == NULL ? "[]" : leases));
    buckets_json(&j, "leak_suspects", &x->suspects);
    buckets_json(&j, "foreign", &x->foreign);
    buckets_json(&j, "without_resource", &x->others);
    weir_json_end(&j);
    json_t *v = json_loadb(out.p, out.n, 0, NULL);
    weir_print_json(v);
    json_decref(v);
}

static void print_sum(const char *label, int64_t micro, const struct reconcile *x)
{
    char money[WEIR_MONEY_SIZE];
    (void)printf("%-26s %16s %s\n", label, weir_money_format(micro, money), x->currency);
}

static void print_buckets(const char *title, struct buckets *b, const struct reconcile *x)
{
    if (b->items.n == 0) {
        return;
    }
    (void)printf("\n%s\n", title);
    for (size_t i = 0; i < b->items.n && i < BUCKETS_SHOWN; i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str name = WEIR_STR_INIT(4096);
        char money[WEIR_MONEY_SIZE];
        weir_out_clean(&name, weir_sv_of(b->items.p[i].name[0] == '\0' ? "(no kind)" : b->items.p[i].name), false);
        (void)printf("  %16s %s  %s\n", weir_money_format(micro_of(b->items.p[i].nano), money), x->currency,
                     weir_str_cstr(&name));
    }
    if (b->items.n > BUCKETS_SHOWN) {
        (void)printf("  and %zu more; see --json\n", b->items.n - BUCKETS_SHOWN);
    }
}

static void print_text(struct reconcile *x, const char *format)
{
    (void)printf("%s, %" PRIu64 " lines, of them %" PRIu64 " of %zu leases.\n\n", format, x->lines, x->matched,
                 json_array_size(x->answers));
    print_sum("in the file", micro_of(x->nano), x);
    print_sum("  of leases", micro_of(x->matched_nano), x);
    print_sum("  leak suspects", micro_of(buckets_nano(&x->suspects)), x);
    print_sum("  foreign", micro_of(buckets_nano(&x->foreign)), x);
    print_sum("  without a resource", micro_of(buckets_nano(&x->others)), x);
    (void)putchar('\n');
    print_sum("billed for these leases", answers_sum(x, "invoiced_micro"), x);
    print_sum("booked before", answers_sum(x, "booked_micro"), x);
    print_sum("corrected now", answers_sum(x, "corrected_micro"), x);
    print_sum("residual", answers_sum(x, "residual_micro"), x);
    print_buckets("Leak suspects: they bear our tag, and no lease has them.", &x->suspects, x);
    print_buckets("Without a resource, by kind:", &x->others, x);
    print_buckets("Foreign resources:", &x->foreign, x);
}

/* ---- the command ---- */

static int read_rates(struct reconcile *x, const struct weir_args *args, struct weir_err *err)
{
    const char *text;
    for (size_t i = 0; (text = weir_args_nth(args, "rate", i)) != NULL; i++) {
        struct weir_sv rest = weir_sv_of(text);
        struct weir_sv currency = weir_sv_cut(&rest, '=');
        struct rate rate = {.until = WEIR_WALL_MAX};
        if (currency.n != 3 || weir_parse_decimal(rest, 9, &rate.nano, NULL) < 0 || rate.nano <= 0) {
            return weir_fail(err, -WEIR_EINVAL, "option '--rate %.40s': it is CUR=RATE, like EUR=1.0842", text);
        }
        (void)snprintf(rate.currency, sizeof rate.currency, "%.*s", WEIR_SV_ARG(currency));
        weir_vec_push(&x->rates, rate);
    }
    return 0;
}

/* What 'weir rule' has: of those that hold on a day the last one added counts. */
static int load_rates(struct reconcile *x, struct weir_err *err)
{
    json_t *rules = NULL;
    int r = weir_client_list(x->api, "/v1/rules", 0, &rules, NULL, err);
    for (size_t i = json_array_size(rules); i-- > 0 && r == 0;) {
        const json_t *o = json_array_get(rules, i);
        const json_t *says = json_object_get(o, "rule");
        const char *kind = weir_get_text(o, "kind");
        const char *currency = weir_get_text(says, "currency");
        const char *text = weir_get_text(says, "rate");
        struct rate rate = {.from = weir_get_time(o, "from"), .until = weir_get_is_set(o, "until") ? weir_get_time(o, "until") : WEIR_WALL_MAX};
        if (kind != NULL && weir_streq(kind, "exchange") && currency != NULL && text != NULL &&
            weir_parse_decimal(weir_sv_of(text), 9, &rate.nano, NULL) == 0) {
            (void)snprintf(rate.currency, sizeof rate.currency, "%.7s", currency);
            weir_vec_push(&x->rates, rate);
        }
    }
    json_decref(rules);
    return r;
}

/* The broker's alerts hear what became of it; where they do not, nothing else is wrong. */
static void report(struct reconcile *x, const char *path, const char *failure)
{
    enum { SUSPECTS_MAX = 200 };
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&body);
    json_t *o = NULL;
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "reason", path);
    if (failure != NULL) {
        weir_json_kv_cstr(&j, "error", failure);
    } else {
        weir_json_kv_i64(&j, "residual_micro", answers_sum(x, "residual_micro"));
    }
    weir_json_key(&j, "leak_suspects");
    weir_json_array(&j);
    for (size_t i = 0; i < x->suspects.items.n && i < SUSPECTS_MAX; i++) {
        weir_json_cstr(&j, x->suspects.items.p[i].name);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    (void)weir_client_call(x->api, "POST", "/v1/reconcile/outcome", weir_str_cstr(&body), &o, NULL);
    json_decref(o);
}

static int run(struct reconcile *x, const struct weir_args *args, struct weir_err *err)
{
    const char *path = args->operand[0];
    const char *format = "";
    int r = read_rates(x, args, err);
    r = r < 0 ? r : weir_client_open(&x->api, args, err);
    if (r < 0) {
        return r;
    }
    begin_body(x);
    r = send_lines(x, err); /* none yet: says who we are, and whether we may */
    r = r < 0 ? r : load_leases(x, err);
    r = r < 0 ? r : load_rates(x, err);
    if (r < 0) {
        return r;
    }
    r = read_file(x, path, &format, err);
    r = r < 0 ? r : compare(x, path, err);
    report(x, path, r < 0 ? err->text : NULL);
    if (r < 0) {
        return r;
    }
    struct buckets *const all[] = {&x->suspects, &x->foreign, &x->others};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        if (all[i]->items.n > 0) {
            qsort(all[i]->items.p, all[i]->items.n, sizeof *all[i]->items.p, bucket_order);
        }
    }
    if (weir_args_has(args, "json")) {
        print_json(x, format);
    } else {
        print_text(x, format);
    }
    return 0;
}

int weir_cmd_reconcile(const struct weir_args *args, struct weir_err *err)
{
    struct reconcile x = {.body = WEIR_STR_INIT(BODY_BYTES_MAX)};
    int r = run(&x, args, err);
    weir_client_free(x.api);
    json_decref(x.list);
    json_decref(x.answers);
    weir_vec_release(&x.rates);
    weir_vec_release(&x.leases);
    weir_map_release(&x.by_instance);
    weir_map_release(&x.by_id);
    weir_map_release(&x.seen);
    weir_str_release(&x.body);
    buckets_release(&x.suspects);
    buckets_release(&x.foreign);
    buckets_release(&x.others);
    return r;
}
