/* SPDX-License-Identifier: Apache-2.0 */

/* weir sim: recorded work and published benchmarks replayed; see docs/guide/simulator.md. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api_client.h"
#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "export.h"
#include "lists.h"
#include "output.h"
#include "progress.h"
#include "sim_report.h"
#include "sim/measure.h"
#include "sim/params.h"
#include "sim/rules.h"
#include "sim/sim.h"
#include "sim/tune.h"
#include "sim/workload.h"

enum { JSON_BYTES_MAX = 64 << 20, COLUMNS_MAX = WEIR_SIM_FIELDS_MAX * 2 };

/* The values of waiting in a report where nobody says which: from the broker's own default to that of who can hardly wait. */
#define FRONT "delay_value=0.1,1,3,10,30,100"

#define FILE_OPTION(option, text)                                                                                      \
    {                                                                                                                  \
        option, 0, WEIR_OPT_TEXT, .arg = "FILE", .help = text                                                          \
    }
#define LIST_OPTION(option, text)                                                                                      \
    {                                                                                                                  \
        option, 0, WEIR_OPT_TEXT, .arg = "LIST", .help = text                                                          \
    }

const struct weir_opt weir_opts_sim[] = {
    {"suite", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "the benchmark to replay"},
    {"data", 0, WEIR_OPT_TEXT, .arg = "DIR", .help = "folder in which inputs are sought that no option names"},
    LIST_OPTION("policies", "run only these policies"),
    FILE_OPTION("jobs", "work in any of the forms that 'weir sim' lists; may be gzip"),
    {"from-history", 0, WEIR_OPT_FLAG, .help = "instead of --jobs: the broker's own history; with --data a stopped broker's"},
    LIST_OPTION("nodes", "sizes of the owned cluster, in nodes"),
    {"gpus-per-node", 0, WEIR_OPT_COUNT, .arg = "N", .help = "GPUs of an owned node", .min = 1, .max = WEIR_SIM_GPUS_PER_NODE_MAX},
    {"trim", 0, WEIR_OPT_COUNT, .arg = "N", .help = "jobs at each end that are run but not counted"},
    FILE_OPTION("traces", "spot availability by zone and tick"),
    FILE_OPTION("windows", "windows of the traces"),
    LIST_OPTION("deadlines", "hours from start to deadline"),
    LIST_OPTION("overheads", "hours that each start or restart takes"),
    {"work", 0, WEIR_OPT_TEXT, .arg = "HOURS", .help = "work of a task"},
    FILE_OPTION("node-list", "nodes with their GPUs"),
    FILE_OPTION("pods", "tasks that share GPUs"),
    LIST_OPTION("seeds", "seeds of the shuffles: 42-51"),
    FILE_OPTION("series", "a series to forecast"),
    FILE_OPTION("prices", "spot price changes"),
    LIST_OPTION("pools", "owned nodes: A100:8x16@20000 is 16 of 8 A100 at 20,000 a GPU; several choices stand between ';'"),
    {"catalogue", 0, WEIR_OPT_TEXT, .arg = "NAME=FILE", .help = "a cloud with the offers of a SkyPilot catalogue"},
    {"cloud-price", 0, WEIR_OPT_TEXT, .arg = "PRICE", .help = "a cloud at one price per GPU-hour"},
    FILE_OPTION("reserved", "reserved machines of the clouds: provider, instance_type, count, price"),
    FILE_OPTION("tariff", "price of a kWh by the hour: what owned nodes' energy costs"),
    FILE_OPTION("carbon", "carbon intensity of the grid by the hour: what owned nodes emit"),
    {"budget", 0, WEIR_OPT_TEXT, .many = true, .arg = "BUDGET", .help = "what 'weir budget set' takes, or a quota, behind 'quota set'; may be repeated"},
    LIST_OPTION("budgets", "files of such budgets and quotas, one a line; several sets of them stand between ';'"),
    {"set", 0, WEIR_OPT_TEXT, .arg = "NAME=VALUE,..", .help = "parameters of suites starburst and replay; see the guide"},
    {"seed", 0, WEIR_OPT_TEXT, .arg = "N", .help = "what chance is drawn from"},
    {"currency", 0, WEIR_OPT_TEXT, .arg = "CODE", .help = "what amounts of suite replay are in; with --from-history the ledger's, else USD"},
    {"rules", 0, WEIR_OPT_FLAG, .help = "suite replay: run also without each of weir's rules, one at a time"},
    FILE_OPTION("report", "write a page for people: findings, charts, all figures; HTML, needs nothing else"),
    {"sweep", 0, WEIR_OPT_TEXT, .many = true, .arg = "NAME=V,V..", .help = "run with each combination of these values of parameters"},
    {"tune", 0, WEIR_OPT_TEXT, .arg = "CONDITION", .help = "find the cheapest setting that keeps this: \"avg_completion_hours<=+2%\""},
    {"tune-runs", 0, WEIR_OPT_COUNT, .arg = "N", .help = "settings that --tune may try; default 60", .min = 1, .max = WEIR_SIM_TUNE_RUNS_MAX},
    {"schedule", 0, WEIR_OPT_TEXT, .arg = "DIR", .help = "write what ran when and where, one CSV file a row"},
    {0},
};

static void show_progress(void *user, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    weir_progress_show(user, what, unit, done, total, weir_clock_mono(&weir_clock_os));
}

static void cell_of(struct weir_table *t, const struct weir_sim_field *f, int places)
{
    char text[40];
    if (f == NULL || f->kind == WEIR_SIM_NONE) {
        weir_table_cell(t, "-");
    } else if (f->kind == WEIR_SIM_COUNT) {
        weir_table_cellf(t, "%lld", (long long)f->u.count);
    } else if (f->kind == WEIR_SIM_TEXT) {
        weir_table_cell(t, f->u.text);
    } else if (f->kind == WEIR_SIM_BOOL) {
        weir_table_cell(t, f->u.yes ? "yes" : "no");
    } else if (f->metric) {
        weir_table_cellf(t, "%.*f", places, f->u.real == 0 ? 0.0 : f->u.real);
    } else {
        weir_sim_real_text(text, sizeof text, f->u.real);
        weir_table_cell(t, text);
    }
}

/* The table with its first n columns, of which the one after the cases names the policy. The caller frees. */
static struct weir_table *table_of(const struct weir_sim_result *result, const struct weir_column *column, size_t n, size_t n_case)
{
    struct weir_table *t = weir_table_new(column, n);
    int places[COLUMNS_MAX];
    for (size_t k = 0; k < n; k++) {
        places[k] = weir_sim_places(result, column[k].title);
    }
    for (size_t i = 0; i < result->n_rows; i++) {
        for (size_t k = 0; k < n; k++) {
            if (k == n_case) {
                weir_table_cell(t, result->row[i].policy);
            } else {
                cell_of(t, weir_sim_row_field(&result->row[i], column[k].title), places[k]);
            }
        }
    }
    return t;
}

/* Columns of screen that the table takes: those of its longest line. */
static size_t width_of(const struct weir_table *t)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(JSON_BYTES_MAX);
    const struct weir_term plain = {0};
    weir_table_render(t, &plain, &text);
    struct weir_sv rest = weir_str_sv(&text);
    size_t width = 0;
    while (rest.p != NULL) {
        size_t n = weir_out_columns(weir_sv_cut(&rest, '\n'));
        width = n > width ? n : width;
    }
    return width;
}

static void print_table(const struct weir_sim_result *result)
{
    const char *name[COLUMNS_MAX];
    size_t n_case = weir_sim_columns(result, false, name, COLUMNS_MAX - 1);
    name[n_case] = "policy";
    size_t n = n_case + 1 + weir_sim_columns(result, true, name + n_case + 1, COLUMNS_MAX - n_case - 1);
    struct weir_column column[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < n; i++) {
        column[i] = (struct weir_column){name[i], .right = i != n_case};
    }
    unsigned limit = weir_term_of(STDOUT_FILENO).width;
    size_t shown = n;
    struct weir_table *t = table_of(result, column, shown, n_case);
    while (limit > 0 && shown > n_case + 2 && width_of(t) > limit) {
        weir_table_free(t);
        t = table_of(result, column, --shown, n_case);
    }
    weir_table_print(t, stdout);
    weir_table_free(t);
    for (size_t i = shown; i < n; i++) {
        printf("%s%s%s", i == shown ? "no room for " : ", ", name[i], i + 1 == n ? ": see --json\n" : "");
    }
    printf("trace hash %016llx\n", (unsigned long long)result->hash);
}

static void money_cell(struct weir_table *t, int64_t micro, const char *currency, bool known)
{
    char text[WEIR_MONEY_SIZE];
    int64_t unit = micro < 100 * WEIR_MICRO_PER_UNIT && micro > -100 * WEIR_MICRO_PER_UNIT ? WEIR_MICRO_PER_UNIT / 100 : WEIR_MICRO_PER_UNIT;
    int64_t half = micro < 0 ? -unit / 2 : unit / 2;
    weir_table_cell(t, known ? weir_money_format_short((micro + half) / unit * unit, currency, text) : "-");
}

static void date_cell(struct weir_table *t, struct weir_wall at, const char *otherwise)
{
    char text[WEIR_RFC3339_SIZE];
    if (at.us == 0) {
        weir_table_cell(t, otherwise);
    } else {
        weir_table_cellf(t, "%.10s", weir_wall_format(at, text));
    }
}

/* What budgets did: a line for each row, budget and span. */
static void print_budgets(const struct weir_sim_result *result)
{
    enum { CASES_MAX = 8 };
    const char *name[COLUMNS_MAX];
    static const char *const titles[] = {"policy", "limit", "from", "amount", "spent", "without", "not_spent", "held_back", "waited_hours",
                                         "waiting_at_end", "never_started"};
    size_t n_case = weir_sim_columns(result, false, name, COLUMNS_MAX);
    n_case = n_case < CASES_MAX ? n_case : CASES_MAX;
    struct weir_column column[CASES_MAX + WEIR_ARRAY_LEN(titles)] = {0};
    for (size_t i = 0; i < n_case + WEIR_ARRAY_LEN(titles); i++) {
        column[i] = (struct weir_column){i < n_case ? name[i] : titles[i - n_case], .right = i < n_case || i > n_case + 2};
    }
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, n_case + WEIR_ARRAY_LEN(titles));
    size_t lines = 0;
    for (size_t i = 0; i < result->n_rows; i++) {
        const struct weir_sim_row *row = &result->row[i];
        for (size_t k = 0; row->budgets != NULL && k < row->budgets->n; k++, lines++) {
            const struct weir_sim_budget_span *s = &row->budgets->span[k];
            for (size_t c = 0; c < n_case; c++) {
                cell_of(t, weir_sim_row_field(row, name[c]), 0);
            }
            weir_table_cell(t, row->policy);
            weir_table_cell(t, s->name);
            date_cell(t, s->from, "-");
            if (s->is_quota) {
                weir_table_cellf(t, "%g %s", s->limit, s->counts);
            } else {
                money_cell(t, s->amount_micro, result->currency, true);
            }
            money_cell(t, s->spent_micro, result->currency, !s->is_quota);
            money_cell(t, s->without_micro, result->currency, s->without_micro >= 0);
            money_cell(t, weir_sim_budget_span_saved(s), result->currency, s->without_micro >= 0);
            weir_table_cellf(t, "%llu", (unsigned long long)s->held_back);
            weir_table_cellf(t, "%.1f", s->waited_h);
            weir_table_cellf(t, "%llu", (unsigned long long)s->waiting);
            weir_table_cellf(t, "%llu", (unsigned long long)s->never);
        }
    }
    if (lines > 0) {
        putchar('\n');
        weir_table_print(t, stdout);
    }
}

static void list_forms(void)
{
    static const struct weir_column column[] = {{"FORM OF --jobs"}, {"WHAT"}, {"KNOWN BY", .shrink = true}};
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    const struct weir_sim_form *f;
    for (size_t i = 0; (f = weir_sim_form_at(i)) != NULL; i++) {
        weir_table_cell(t, f->name);
        weir_table_cell(t, f->summary);
        weir_table_cell(t, f->known_by);
    }
    weir_table_print(t, stdout);
}

static void add_words(json_t *list, const char *words, char separator)
{
    struct weir_sv rest = weir_sv_of(words);
    while (rest.p != NULL) {
        struct weir_sv word = weir_sv_cut(&rest, separator);
        (void)json_array_append_new(list, json_stringn(word.p, word.n));
    }
}

static void list_suites_json(void)
{
    json_t *all = json_array();
    for (const struct weir_sim_suite *s = weir_sim_suites; s->name != NULL; s++) {
        json_t *policies = json_array();
        json_t *options = json_array();
        add_words(policies, s->policies, ',');
        add_words(options, s->options, ' ');
        (void)json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o}", "name", s->name, "summary", s->summary, "policies", policies,
                                                   "options", options));
    }
    weir_print_json(all);
    json_decref(all);
}

/* Without a suite there is nothing that an option could change. */
static int list_suites(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_column column[] = {{"SUITE"}, {"WHAT"}, {"POLICIES", .shrink = true}};
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    for (size_t i = 0; i < args->n_values; i++) {
        if (!weir_streq(args->value[i].opt->name, "json")) {
            WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(256);
            weir_sim_suite_names(&all);
            return weir_fail(err, -WEIR_EINVAL, "'--%s' is for a suite: say which with --suite NAME; the suites are: %s",
                             args->value[i].opt->name, weir_str_cstr(&all));
        }
    }
    if (weir_args_has(args, "json")) {
        list_suites_json();
        return 0;
    }
    for (const struct weir_sim_suite *s = weir_sim_suites; s->name != NULL; s++) {
        weir_table_cell(t, s->name);
        weir_table_cell(t, s->summary);
        weir_table_cell(t, s->policies);
    }
    weir_table_print(t, stdout);
    putchar('\n');
    list_forms();
    return 0;
}

static int fail_operand(const char *word, struct weir_err *err)
{
    struct weir_err unknown = {""};
    return weir_sim_suite_find(word, &unknown) != NULL
               ? weir_fail(err, -WEIR_EINVAL, "'%s' is a suite: write --suite %s", word, word)
               : weir_fail(err, -WEIR_EINVAL, "'%.100s' is one argument too many; 'weir sim' lists the suites", word);
}

/* Does the comma-separated list of NAME=VALUE set it? */
static bool sets(const char *list, const char *name)
{
    struct weir_sv rest = weir_sv_of(list);
    bool found = false;
    while (rest.p != NULL && !found) {
        struct weir_sv one = weir_sv_cut(&rest, ',');
        struct weir_sv key = weir_sv_trim(weir_sv_cut(&one, '='));
        found = key.n == strlen(name);
        for (size_t i = 0; i < key.n && found; i++) {
            found = key.p[i] == name[i] || (key.p[i] == '-' && name[i] == '_');
        }
    }
    return found;
}

/* A report of a replay shows weir with several values of waiting, where nobody says with which: one alone would hide what the others are like. */
static bool wants_front(const struct weir_args *args, const char *suite, const struct weir_sim_options *o)
{
    return weir_streq(suite, "replay") && weir_args_has(args, "report") && o->schedule == NULL && !sets(o->set, "delay_value") &&
           (weir_sim_wants(o, "weir") || weir_sim_wants(o, "weir-no-estimates")) && (o->jobs == NULL || !weir_streq(o->jobs, "-"));
}

/* Runs what was asked for: one run, a sweep, or a search. */
static int run(const struct weir_args *args, const char *suite, const struct weir_sim_options *o, struct weir_sim_result *result,
               struct weir_err *err)
{
    const char *tune = weir_args_text(args, "tune");
    const char *text = weir_args_nth(args, "sweep", 0);
    if (tune != NULL && text != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--tune looks for values by itself: leave out --sweep");
    }
    if (tune != NULL && weir_args_has(args, "rules")) {
        return weir_fail(err, -WEIR_EINVAL, "--rules: leave out --tune, and set what it found");
    }
    if ((tune != NULL || text != NULL || weir_args_has(args, "rules")) && o->jobs != NULL && weir_streq(o->jobs, "-")) {
        return weir_fail(err, -WEIR_EINVAL, "--jobs -: the standard input is there once, and several runs are wanted: give a file");
    }
    if (tune != NULL) {
        return weir_sim_run_tune(suite, o, tune, weir_args_count(args, "tune-runs", WEIR_SIM_TUNE_RUNS), result, err);
    }
    if (text == NULL && wants_front(args, suite, o)) {
        text = FRONT;
    } else if (text == NULL) {
        return weir_sim_run_suite(suite, o, result, err);
    }
    struct weir_sim_sweep sweep = {0};
    const struct weir_sim_suite *known = NULL;
    int r = weir_sim_suite_for(&known, suite, o, err);
    for (size_t i = 0; r == 0 && text != NULL; text = weir_args_nth(args, "sweep", ++i)) {
        r = weir_sim_sweep_parse(&sweep, suite, text, err);
    }
    return r < 0 ? r : weir_sim_run_sweep(suite, o, &sweep, result, err);
}

/* The broker's own records, where they are to be replayed. */
struct history {
    char path[40]; /* "": they are not */
    char *currency; /* of its ledger; owned */
    struct weir_export_counts counts;
};

/* What the recorded amounts are in; --currency may say the same. */
static int ledger_currency(const struct weir_history_source *source, const struct weir_args *args, char **ret, struct weir_err *err)
{
    char kept[WEIR_CURRENCY_SIZE] = "";
    const char *said = weir_args_text(args, "currency");
    int r = source->offline == NULL ? 0 : weir_offline_currency(source->offline, kept, err);
    if (r < 0) {
        return r;
    }
    *ret = source->offline == NULL ? weir_list_currency(source->api) : weir_strdup(kept);
    if (said != NULL && !weir_streq(said, *ret)) {
        return weir_fail(err, -WEIR_EINVAL, "--currency %s: the ledger whose history this is is in %s, and so are all amounts", said, *ret);
    }
    return 0;
}

/* Writes the broker's history, or that of the data directory that --data names, to a file without a name, which is gone when the program ends; ret->path names it until then. */
static int spool_history(const struct weir_args *args, struct history *ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_history_source_close) struct weir_history_source source = {NULL, NULL};
    if (weir_args_has(args, "jobs")) {
        return weir_fail(err, -WEIR_EINVAL, "--from-history and --jobs both say what work to replay: give one");
    }
    int r = weir_history_source_open(&source, args, err);
    r = r < 0 ? r : ledger_currency(&source, args, &ret->currency, err);
    FILE *f = r < 0 ? NULL : tmpfile();
    if (r == 0 && f == NULL) {
        r = weir_fail(err, weir_error_from_errno(errno), "no temporary file for the history: %s", strerror(errno));
    }
    r = r < 0 ? r : weir_export_history(&source, (struct weir_wall){0}, (struct weir_wall){0}, false, f, &ret->counts, err);
    if (r == 0 && ret->counts.tasks == ret->counts.running) {
        r = weir_fail(err, -WEIR_EINVAL, "the history holds no task that has ended: there is nothing to replay");
    }
    if (r < 0 && f != NULL) {
        (void)fclose(f);
    }
    if (r == 0) {
        /* Each run opens it anew, so it stays open here. */
        snprintf(ret->path, sizeof ret->path, "/proc/self/fd/%d", fileno(f));
    }
    return r;
}

/* Of two files the first would be left out without a word. */
static int check_files(const struct weir_args *args, struct weir_err *err)
{
    for (const struct weir_opt *opt = weir_opts_sim; opt->name != NULL; opt++) {
        if (opt->arg != NULL && weir_streq(opt->arg, "FILE") && weir_args_nth(args, opt->name, 1) != NULL) {
            return weir_fail(err, -WEIR_EINVAL, "option '--%s' is given twice: it takes one file a run", opt->name);
        }
    }
    return 0;
}

int weir_cmd_sim(const struct weir_args *args, struct weir_err *err)
{
    const char *suite = weir_args_text(args, "suite");
    if (args->n_operands > 0) {
        return fail_operand(args->operand[0], err);
    }
    if (check_files(args, err) < 0) {
        return -WEIR_EINVAL;
    }
    if (suite == NULL && (weir_args_has(args, "jobs") || weir_args_has(args, "from-history"))) {
        suite = "replay";
    } else if (suite == NULL) {
        return list_suites(args, err);
    }
    struct history history = {""};
    if (weir_args_has(args, "from-history")) {
        int r = spool_history(args, &history, err);
        if (r < 0) {
            return r;
        }
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str budget = WEIR_STR_INIT(WEIR_SIM_BUDGETS_BYTES_MAX);
    for (size_t i = 0; weir_args_nth(args, "budget", i) != NULL; i++) {
        weir_str_addf(&budget, "%s%s", i == 0 ? "" : "\n", weir_args_nth(args, "budget", i));
    }
    struct weir_progress progress;
    weir_progress_begin(&progress, suite, weir_clock_mono(&weir_clock_os));
    struct weir_sim_options o = {
        .data = weir_args_text(args, "data"),
        .jobs = history.path[0] != '\0' ? history.path : weir_args_text(args, "jobs"),
        .nodes = weir_args_text(args, "nodes"),
        .gpus_per_node = weir_args_text(args, "gpus-per-node"),
        .trim = weir_args_text(args, "trim"),
        .traces = weir_args_text(args, "traces"),
        .windows = weir_args_text(args, "windows"),
        .deadlines = weir_args_text(args, "deadlines"),
        .overheads = weir_args_text(args, "overheads"),
        .work = weir_args_text(args, "work"),
        .node_list = weir_args_text(args, "node-list"),
        .pods = weir_args_text(args, "pods"),
        .seeds = weir_args_text(args, "seeds"),
        .series = weir_args_text(args, "series"),
        .prices = weir_args_text(args, "prices"),
        .pools = weir_args_text(args, "pools"),
        .catalogue = weir_args_text(args, "catalogue"),
        .cloud_price = weir_args_text(args, "cloud-price"),
        .reserved = weir_args_text(args, "reserved"),
        .tariff = weir_args_text(args, "tariff"),
        .carbon = weir_args_text(args, "carbon"),
        .budget = budget.n > 0 ? weir_str_cstr(&budget) : NULL,
        .budgets = weir_args_text(args, "budgets"),
        .set = weir_args_text(args, "set"),
        .seed = weir_args_text(args, "seed"),
        .currency = history.currency != NULL && weir_streq(suite, "replay") ? history.currency : weir_args_text(args, "currency"),
        .policies = weir_args_text(args, "policies"),
        .schedule = weir_args_text(args, "schedule"),
        .progress = show_progress,
        .user = &progress,
    };
    struct weir_sim_result result = {0};
    struct weir_sim_inputs inputs = {0};
    struct weir_sim_page page = {.fd = -1};
    o.inputs = &inputs;
    int r = weir_sim_page_open(&page, weir_args_text(args, "report"), err);
    r = r < 0 ? r : run(args, suite, &o, &result, err);
    if (r == 0 && weir_args_has(args, "rules")) {
        r = weir_sim_run_rules(&o, &result, err);
    }
    weir_progress_end(&progress);
    if (r == 0 && history.counts.waiting > 0) {
        weir_sim_note(&result, "%llu tasks that wait in the broker's queue are left out: how long they run is not known",
                      (unsigned long long)history.counts.waiting);
    }
    for (size_t i = 0; i < result.n_notes && r == 0; i++) {
        weir_talk("%s", result.note[i]);
    }
    r = r < 0 ? r : weir_sim_page_write(&page, args, &result, &inputs, err);
    if (r == 0 && weir_args_has(args, "json")) {
        WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(JSON_BYTES_MAX);
        weir_sim_result_json(&result, &out);
        fwrite(out.p, 1, out.n, stdout);
    } else if (r == 0) {
        print_table(&result);
        print_budgets(&result);
        if (result.tuned != NULL) {
            WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(4096);
            weir_sim_tuned_text(result.tuned, &out);
            printf("\n%s", weir_str_cstr(&out));
        }
    }
    r = r < 0 ? r : weir_sim_tuned_verdict(result.tuned, err);
    weir_sim_page_close(&page);
    weir_sim_inputs_release(&inputs);
    weir_sim_result_release(&result);
    free(history.currency);
    return r;
}
