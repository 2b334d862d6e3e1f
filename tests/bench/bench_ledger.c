/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: postings made and kept in memory, and kept durably; a statement; the reading of a provider's bill. Prints
 * a figure a line.
 *
 *     bench_ledger postings DIRECTORY    "memory PER_SECOND", "durable PER_SECOND"
 *     bench_ledger statement DIRECTORY N "statement SECONDS", "proof SECONDS", "price SECONDS" over N postings, as of CPU time
 *     bench_ledger invoice FILE          "invoice MB_PER_SECOND LINES", of CPU time
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "api/proof.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/invoice.h"
#include "store/store.h"

enum { NODES = 1000, RUNS = 8 };

static const struct weir_wall begin = {INT64_C(1767225600000000)};
static struct weir_err err;

static void must(int r)
{
    if (r < 0) {
        (void)fprintf(stderr, "bench_ledger: %s\n", err.text);
        exit(1);
    }
}

static double clock_s(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Machines of eight runs each. */
static struct weir_bill *make_bill(void)
{
    struct weir_bill *b = weir_bill_new(1, begin);
    for (uint64_t n = 1; n <= NODES; n++) {
        struct weir_bill_node node = {
            .node = {n}, .pool = {1}, .gpus = RUNS, .cpu_milli = 64000, .lease = {n}, .price_micro_per_hour = 20000000};
        must(weir_bill_node_open(b, &node, begin, &err));
        weir_bill_node_ready(b, node.node, begin);
        for (uint32_t r = 0; r < RUNS; r++) {
            struct weir_bill_segment s = {.node = {n},
                                          .run = {.task = {.job = {n * RUNS + r}}, .attempt = 1},
                                          .project = {1 + r},
                                          .user = {1 + (uint32_t)(n % 20)},
                                          .gpus = 1,
                                          .cpu_milli = 8000,
                                          .from = begin};
            must(weir_bill_segment_open(b, &s, &err));
        }
    }
    return b;
}

static void put_leases(struct weir_store *s)
{
    must(s->ops->begin(s, &err));
    for (uint64_t n = 1; n <= NODES; n++) {
        struct weir_lease_row row = {.view = {.id = {n}, .node = {n}, .state = WEIR_LEASE_READY, .confirmed_at = begin, .price_micro_per_hour = 20000000}, .text = ""};
        row.view.offer.price_micro_per_hour = 20000000;
        must(s->ops->put_lease(s, &row, &err));
    }
    must(s->ops->commit(s, &err));
}

/* Of the spot machines whose turn it is: each gets another price once an hour. */
static void move_prices(struct weir_bill *b, struct weir_store *s, int64_t minute)
{
    for (uint64_t n = 1 + (uint64_t)minute % 60; n <= NODES; n += 60) {
        int64_t price = 20000000 + (minute / 60 % 2 == 0 ? 1234567 : 0) + minute;
        struct weir_wall from = weir_bill_node_price(b, (struct weir_node_id){n}, (struct weir_wall){begin.us + minute * WEIR_US_PER_MIN - 7654321}, price);
        struct weir_lease_price_row row = {.lease = {n}, .price = {.from = from, .micro_per_hour = price, .after_posting = weir_bill_last_posting(b)}, .told = from};
        must(s->ops->put_lease_price(s, &row, &err));
    }
}

/* Settles minute by minute, a commit each as the broker does, until there are so many postings. Gives how many. */
static uint64_t post(struct weir_store *s, uint64_t want, bool prices_move)
{
    struct weir_bill *b = make_bill();
    uint64_t made = 0;
    for (int64_t minute = 1; made < want; minute++) {
        const struct weir_posting *p;
        const struct weir_meter *m;
        size_t n;
        size_t n_meters;
        must(s->ops->begin(s, &err));
        if (prices_move) {
            move_prices(b, s, minute);
        }
        weir_bill_settle(b, (struct weir_wall){begin.us + minute * WEIR_US_PER_MIN}, true);
        weir_bill_take(b, &p, &n, &m, &n_meters);
        for (size_t i = 0; i < n; i++) {
            must(s->ops->put_posting(s, &p[i], &err));
        }
        must(s->ops->commit(s, &err));
        made += n;
    }
    char last[24];
    (void)snprintf(last, sizeof last, "%" PRIu64, made);
    must(s->ops->begin(s, &err));
    must(s->ops->put_meta(s, WEIR_META_LAST_POSTING, last, &err));
    must(s->ops->commit(s, &err));
    weir_bill_free(b);
    return made;
}

static void open_file(struct weir_store **ret, const char *dir, bool durable)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/ledger.db", dir);
    must(weir_store_sqlite_open(ret, &(struct weir_store_conf){.path = path, .durable = durable}, &err));
}

static void bench_postings(const char *dir)
{
    struct weir_store *s = NULL;
    must(weir_store_mem_open(&s, &err));
    double t = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t n = post(s, 1000000, false);
    (void)printf("memory %.0f\n", (double)n / (clock_s(CLOCK_PROCESS_CPUTIME_ID) - t));
    weir_store_close(s);
    open_file(&s, dir, true);
    t = clock_s(CLOCK_MONOTONIC);
    n = post(s, 300000, false);
    (void)printf("durable %.0f\n", (double)n / (clock_s(CLOCK_MONOTONIC) - t));
    weir_store_close(s);
}

static int on_row(void *ctx, const struct weir_bill_row *row)
{
    *(int64_t *)ctx += row->total_micro;
    return 0;
}

/* One rule of each kind, and one for a project. */
static void put_rules(struct weir_store *s)
{
    static const char *const rules[][2] = {
        {"markup", "{\"percent\":\"8\"}"},        {"discount", "{\"percent\":\"10\",\"class\":\"spot\"}"},    {"spread", "{\"by\":\"use\"}"},
        {"price", "{\"per_gpu_hour\":\"2.10\",\"project\":\"p3\"}"}, {"commitment", "{\"gpus\":4000,\"per_hour\":\"9000\"}"},
    };
    must(s->ops->begin(s, &err));
    for (uint32_t i = 1; i <= RUNS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%u", i);
        must(s->ops->put_project(s, &(struct weir_project_row){.view = {.id = {i}, .weight = 100}, .name = name}, &err));
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rules); i++) {
        must(s->ops->put_rule(s, &(struct weir_rule_row){.id = i + 1, .name = rules[i][0], .kind = rules[i][0], .body = rules[i][1], .from = begin, .who = "bench"}, &err));
    }
    must(s->ops->commit(s, &err));
}

/* What 'weir bill --view price' does: rates all that is open, and adds it up. */
static void bench_price(struct weir_store *s)
{
    struct weir_bill_filter f = {.from = {begin.us + 1}, .to = WEIR_WALL_MAX, .priced = true};
    enum weir_bill_by by = WEIR_BILL_BY_PROJECT;
    const char *tag = NULL;
    struct weir_amendment *part = NULL;
    uint64_t ratings = 0;
    int64_t sum = 0;
    size_t n = 0;
    put_rules(s);
    double t = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    must(api_rate(s, (struct weir_wall){0}, (struct weir_wall){begin.us + WEIR_US_PER_DAY}, &ratings, &part, &n, &err));
    must(s->ops->bill(s, &f, &by, &tag, 1, on_row, &sum, &err));
    (void)printf("price %.2f\n", clock_s(CLOCK_PROCESS_CPUTIME_ID) - t);
    (void)printf("prices %zu\n", n);
    free(part);
}

/* What 'weir bill --check' does. */
static void bench_proof(struct weir_store *s)
{
    struct weir_proof *p = NULL;
    struct weir_proof_result r;
    double t = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    must(weir_proof_new(&p, s, &err));
    int more = 1;
    while (more > 0) {
        must(more = weir_proof_step(p, s, 10000, &err));
    }
    weir_proof_end(p, &r);
    (void)printf("proof %.2f\n", clock_s(CLOCK_PROCESS_CPUTIME_ID) - t);
    must(r.error.text[0] != '\0' || r.sum.leases != NODES ? weir_fail(&err, -WEIR_ECORRUPT, "%s", r.error.text) : 0);
    weir_proof_free(p);
}

static void bench_statement(const char *dir, uint64_t n)
{
    struct weir_store *s = NULL;
    struct weir_bill_filter f = {.from = {begin.us + 1}, .to = WEIR_WALL_MAX};
    enum weir_bill_by by = WEIR_BILL_BY_PROJECT;
    const char *tag = NULL;
    int64_t sum = 0;
    open_file(&s, dir, false);
    put_leases(s);
    (void)post(s, n, true);
    double t = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    must(s->ops->bill(s, &f, &by, &tag, 1, on_row, &sum, &err));
    (void)printf("statement %.2f\n", clock_s(CLOCK_PROCESS_CPUTIME_ID) - t);
    bench_proof(s);
    bench_price(s);
    weir_store_close(s);
}

static void bench_invoice(const char *path)
{
    WEIR_CLEANUP(weir_invoice_freep) struct weir_invoice *v = NULL;
    struct weir_invoice_line l;
    struct stat st;
    uint64_t n = 0;
    int r;
    double t = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    must(weir_invoice_open(&v, path, &err));
    while ((r = weir_invoice_next(v, &l, &err)) == 1) {
        n++;
    }
    must(r);
    t = clock_s(CLOCK_PROCESS_CPUTIME_ID) - t;
    (void)printf("invoice %.1f %" PRIu64 "\n", stat(path, &st) == 0 ? (double)st.st_size / 1e6 / t : 0, n);
}

int main(int argc, char **argv)
{
    uint64_t n = 0;
    if (argc == 3 && weir_streq(argv[1], "postings")) {
        bench_postings(argv[2]);
    } else if (argc == 4 && weir_streq(argv[1], "statement") &&
               weir_parse_u64(weir_sv_of(argv[3]), 1, UINT64_C(1000000000), &n, &err) == 0) {
        bench_statement(argv[2], n);
    } else if (argc == 3 && weir_streq(argv[1], "invoice")) {
        bench_invoice(argv[2]);
    } else {
        (void)fprintf(stderr, "usage: bench_ledger postings DIRECTORY | statement DIRECTORY N | invoice FILE\n");
        return 2;
    }
    return 0;
}
