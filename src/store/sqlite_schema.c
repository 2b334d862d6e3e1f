/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema, as numbered migrations. A migration that was released is never edited: the next change
 * is the next entry. Times end in _us (microseconds since 1970, UTC; 0: not set), money ends in
 * _micro, states are the numbers of the enums in core/model.h and bill/bill.h.
 */

#include "store/sqlite_priv.h"

static const char *const SCHEMA_1[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE project ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, weight INTEGER NOT NULL,"
    " delay_cost_micro_per_hour INTEGER NOT NULL, spent_decayed_micro INTEGER NOT NULL,"
    " spent_at_us INTEGER NOT NULL) STRICT",
    "CREATE TABLE user ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, detail TEXT NOT NULL) STRICT",
    "CREATE TABLE pool ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, detail TEXT NOT NULL) STRICT",
    "CREATE TABLE shape (id INTEGER PRIMARY KEY, request TEXT NOT NULL) STRICT",
    /*
     * What changes of a job, small, apart from what it was submitted with. There is no index by name: its pages are
     * dirtied all over by every commit, which doubles the price of a submission; a list by name reads backwards.
     */
    "CREATE TABLE job ("
    " id INTEGER PRIMARY KEY, project INTEGER NOT NULL, user INTEGER NOT NULL,"
    " shape INTEGER NOT NULL, priority INTEGER NOT NULL, n_tasks INTEGER NOT NULL,"
    " parallel_max INTEGER NOT NULL, state INTEGER NOT NULL,"
    " waiting INTEGER NOT NULL, starting INTEGER NOT NULL, running INTEGER NOT NULL,"
    " stopping INTEGER NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL,"
    " cancelled INTEGER NOT NULL, submitted_us INTEGER NOT NULL, started_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, deadline_us INTEGER NOT NULL, cancel_asked INTEGER NOT NULL,"
    " name TEXT NOT NULL, cost_micro INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE INDEX job_by_state ON job (state)",
    "CREATE INDEX job_by_project ON job (project)",
    "CREATE INDEX job_by_user ON job (user)",
    "CREATE TABLE job_text ("
    " id INTEGER PRIMARY KEY, tags TEXT NOT NULL, spec TEXT NOT NULL) STRICT",
    /* gang_nodes and gang_masks: JSON arrays by rank, NULL for tasks of one node */
    "CREATE TABLE task ("
    " job INTEGER NOT NULL, ordinal INTEGER NOT NULL, state INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " losses INTEGER NOT NULL, node INTEGER NOT NULL, gpu_mask INTEGER NOT NULL,"
    " n_nodes INTEGER NOT NULL, gang_nodes TEXT, gang_masks TEXT, lease INTEGER NOT NULL,"
    " queued_us INTEGER NOT NULL, placed_us INTEGER NOT NULL, started_us INTEGER NOT NULL,"
    " first_started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,"
    " checkpointed_us INTEGER NOT NULL, hold INTEGER NOT NULL, exit_code INTEGER NOT NULL,"
    " signal INTEGER NOT NULL, ranks_started INTEGER NOT NULL, ranks_ended INTEGER NOT NULL,"
    " text TEXT NOT NULL, cost_micro INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (job, ordinal)) STRICT, WITHOUT ROWID",
    "CREATE TABLE node ("
    " id INTEGER PRIMARY KEY, pool INTEGER NOT NULL, lease INTEGER NOT NULL,"
    " state INTEGER NOT NULL, joined INTEGER NOT NULL, since_us INTEGER NOT NULL,"
    " idle_since_us INTEGER NOT NULL, gpu_free_mask INTEGER NOT NULL,"
    " cpu_free_milli INTEGER NOT NULL, mem_free_mib INTEGER NOT NULL, n_runs INTEGER NOT NULL,"
    " gpu_model TEXT NOT NULL, gpus INTEGER NOT NULL, gpu_mem_mib INTEGER NOT NULL,"
    " cpu_milli INTEGER NOT NULL, mem_mib INTEGER NOT NULL, link_groups TEXT NOT NULL,"
    " fabric INTEGER NOT NULL, region TEXT NOT NULL, provider TEXT NOT NULL,"
    " full_micro_per_hour INTEGER NOT NULL, marginal_idle_micro_per_hour INTEGER NOT NULL,"
    " marginal_busy_micro_per_hour INTEGER NOT NULL, agent_id TEXT NOT NULL,"
    " name TEXT NOT NULL, address TEXT NOT NULL, detail TEXT NOT NULL,"
    " seen_us INTEGER NOT NULL) STRICT",
    "CREATE TABLE lease ("
    " id INTEGER PRIMARY KEY, node INTEGER NOT NULL, state INTEGER NOT NULL,"
    " offer INTEGER NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL, zone TEXT NOT NULL,"
    " instance_type TEXT NOT NULL, market INTEGER NOT NULL, gpu_model TEXT NOT NULL,"
    " gpus INTEGER NOT NULL, gpu_mem_mib INTEGER NOT NULL, cpu_milli INTEGER NOT NULL,"
    " mem_mib INTEGER NOT NULL, price_micro_per_hour INTEGER NOT NULL,"
    " price_as_of_us INTEGER NOT NULL, price_expires_us INTEGER NOT NULL,"
    " price_source TEXT NOT NULL, bill_quantum_us INTEGER NOT NULL,"
    " bill_minimum_us INTEGER NOT NULL, boot_expected_us INTEGER NOT NULL,"
    " reclaim_ppm_per_hour INTEGER NOT NULL, reclaim_notice_us INTEGER NOT NULL,"
    " egress_micro_per_gib INTEGER NOT NULL, launchable INTEGER NOT NULL,"
    " job INTEGER NOT NULL, ordinal INTEGER NOT NULL, intent_us INTEGER NOT NULL,"
    " confirmed_us INTEGER NOT NULL, ready_us INTEGER NOT NULL, reclaim_us INTEGER NOT NULL,"
    " ending_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
    " refusal INTEGER NOT NULL, reclaimed INTEGER NOT NULL, token TEXT NOT NULL,"
    " instance TEXT NOT NULL, text TEXT NOT NULL) STRICT",
    "CREATE TABLE hold ("
    " id INTEGER PRIMARY KEY, job INTEGER NOT NULL, ordinal INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, project INTEGER NOT NULL, amount_micro INTEGER NOT NULL,"
    " state INTEGER NOT NULL) STRICT",
    "CREATE INDEX hold_active ON hold (id) WHERE state = 0",
    /* the ledger: only ever inserted into */
    "CREATE TABLE posting ("
    " id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, from_us INTEGER NOT NULL,"
    " to_us INTEGER NOT NULL, node INTEGER NOT NULL, lease INTEGER NOT NULL,"
    " pool INTEGER NOT NULL, debit INTEGER NOT NULL, credit INTEGER NOT NULL,"
    " modelled INTEGER NOT NULL, amount_micro INTEGER NOT NULL, gpu_us INTEGER NOT NULL,"
    " project INTEGER NOT NULL, user INTEGER NOT NULL, job INTEGER NOT NULL,"
    " ordinal INTEGER NOT NULL, attempt INTEGER NOT NULL) STRICT",
    "CREATE INDEX posting_by_task ON posting (job, ordinal) WHERE job <> 0",
    /* how far an open node is posted; remainders: JSON array by cost account */
    "CREATE TABLE meter ("
    " node INTEGER PRIMARY KEY, lease INTEGER NOT NULL, pool INTEGER NOT NULL,"
    " gpus INTEGER NOT NULL, cpu_milli INTEGER NOT NULL, owned INTEGER NOT NULL,"
    " purchase_micro INTEGER NOT NULL, residual_micro INTEGER NOT NULL, life_us INTEGER NOT NULL,"
    " upkeep_micro_per_year INTEGER NOT NULL, tariff_micro_per_kwh INTEGER NOT NULL,"
    " pue_milli INTEGER NOT NULL, idle_watts INTEGER NOT NULL, busy_watts INTEGER NOT NULL,"
    " price_micro_per_hour INTEGER NOT NULL, quantum_us INTEGER NOT NULL,"
    " minimum_us INTEGER NOT NULL, project INTEGER NOT NULL, user INTEGER NOT NULL,"
    " job INTEGER NOT NULL, ordinal INTEGER NOT NULL, opened_us INTEGER NOT NULL,"
    " ready_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " provider_posted_micro INTEGER NOT NULL, remainders TEXT NOT NULL,"
    " energy_mj INTEGER NOT NULL, energy_posted_mj INTEGER NOT NULL,"
    " energy_measured INTEGER NOT NULL) STRICT",
    "CREATE TABLE explain ("
    " id INTEGER PRIMARY KEY, job INTEGER NOT NULL, ordinal INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, record TEXT NOT NULL) STRICT",
    "CREATE INDEX explain_by_task ON explain (job, ordinal)",
    "CREATE TABLE event ("
    " id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, job INTEGER NOT NULL,"
    " ordinal INTEGER NOT NULL, node INTEGER NOT NULL, lease INTEGER NOT NULL,"
    " text TEXT NOT NULL) STRICT",
    "CREATE INDEX event_by_job ON event (job) WHERE job <> 0",
    "CREATE TABLE effect ("
    " seq INTEGER NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " lease INTEGER NOT NULL, PRIMARY KEY (seq, number)) STRICT, WITHOUT ROWID",
    "CREATE TABLE token ("
    " hash TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, user TEXT NOT NULL,"
    " lease INTEGER NOT NULL, expires_us INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    /* key: a hash; run times: JSON array of microseconds, a ring by n */
    "CREATE TABLE runtime ("
    " key INTEGER PRIMARY KEY, n INTEGER NOT NULL, filled INTEGER NOT NULL,"
    " took_us TEXT NOT NULL) STRICT",
    NULL,
};

/* What a gang's ranks have reported, and what ended attempts have spent, so that a restart forgets neither. */
static const char *const SCHEMA_2[] = {
    "ALTER TABLE task ADD COLUMN gang_states TEXT",
    "ALTER TABLE task ADD COLUMN spent_micro INTEGER NOT NULL DEFAULT 0",
    NULL,
};

/*
 * The age of explain records, for their removal: those that are there are as old as their job. What the agent's energy counter
 * showed last (-1: not known), so that it goes on where it was. And the sums of the ledger's use accounts, so that
 * nobody has to add up all of it.
 */
static const char *const SCHEMA_3[] = {
    "ALTER TABLE explain ADD COLUMN at_us INTEGER NOT NULL DEFAULT 0",
    "UPDATE explain SET at_us = coalesce((SELECT submitted_us FROM job WHERE job.id = explain.job), 0)",
    "ALTER TABLE meter ADD COLUMN energy_counter_mj INTEGER NOT NULL DEFAULT -1",
    "CREATE TABLE total ("
    " project INTEGER NOT NULL, pool INTEGER NOT NULL, account INTEGER NOT NULL, amount_micro INTEGER NOT NULL,"
    " PRIMARY KEY (project, pool, account)) STRICT, WITHOUT ROWID",
    "INSERT INTO total SELECT project, pool, account, sum(amount_micro) FROM ("
    "SELECT project, pool, debit AS account, amount_micro FROM posting WHERE debit >= 5 UNION ALL "
    "SELECT project, pool, credit, -amount_micro FROM posting WHERE credit >= 5) GROUP BY project, pool, account",
    NULL,
};

/* Whether nothing can run what waits of the shape. */
static const char *const SCHEMA_4[] = {
    "ALTER TABLE shape ADD COLUMN impossible INTEGER NOT NULL DEFAULT 0",
    NULL,
};

/*
 * Who may do what, and who changed what. Tokens that are there were made by the broker. Audit rows are only ever inserted;
 * retention removes the oldest.
 */
static const char *const SCHEMA_ACCESS[] = {
    "ALTER TABLE token ADD COLUMN created_us INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE token ADD COLUMN created_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE token ADD COLUMN projects TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE access ("
    " user TEXT PRIMARY KEY, role TEXT NOT NULL, disabled INTEGER NOT NULL, projects TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE audit ("
    " id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, user TEXT NOT NULL, role TEXT NOT NULL, token TEXT NOT NULL,"
    " peer TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL) STRICT",
    NULL,
};

/* Corrections from outside. */
static const char *const SCHEMA_CORRECTIONS[] = {
    "CREATE TABLE correction ("
    " id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,"
    " micro INTEGER NOT NULL) STRICT",
    "ALTER TABLE posting ADD COLUMN correction INTEGER NOT NULL DEFAULT 0",
    /* what providers' bills say of a lease; line: a hash of what makes it the same line in another file */
    "CREATE TABLE invoice_line ("
    " lease INTEGER NOT NULL, line INTEGER NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, nano INTEGER NOT NULL,"
    " PRIMARY KEY (lease, line)) STRICT, WITHOUT ROWID",
    NULL,
};

/*
 * Budgets, and who pays. Those who wait or run get their payers by what was stored of them; thresholds: JSON array of percent and
 * action in turn. Numbers: scope 0 organisation, 1 project, 2 user, 3 tag; span 0 month, 1 quarter, 2 fixed, 3 forever;
 * action 0 warn, 1 local-only, 2 stop-new, 3 stop-all.
 */
static const char *const SCHEMA_BUDGETS[] = {
    "CREATE TABLE payer (id INTEGER PRIMARY KEY, project INTEGER NOT NULL, user INTEGER NOT NULL, tags TEXT NOT NULL) STRICT",
    "CREATE TABLE budget ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, scope INTEGER NOT NULL, project INTEGER NOT NULL, user INTEGER NOT NULL,"
    " tag TEXT NOT NULL, span INTEGER NOT NULL, cloud_only INTEGER NOT NULL, amount_micro INTEGER NOT NULL,"
    " from_us INTEGER NOT NULL, until_us INTEGER NOT NULL, thresholds TEXT NOT NULL, span_from_us INTEGER NOT NULL,"
    " span_until_us INTEGER NOT NULL, charged_micro INTEGER NOT NULL, held_micro INTEGER NOT NULL, reached INTEGER NOT NULL) STRICT",
    "ALTER TABLE job ADD COLUMN payer INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN payer INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN held_micro INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN charged_micro INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE hold ADD COLUMN charged_micro INTEGER NOT NULL DEFAULT 0",
    "INSERT INTO payer (project, user, tags) SELECT DISTINCT job.project, job.user, job_text.tags FROM job JOIN job_text ON job_text.id = job.id"
    " WHERE job.state < 2",
    "UPDATE job SET payer = (SELECT payer.id FROM payer, job_text WHERE job_text.id = job.id AND payer.project = job.project"
    " AND payer.user = job.user AND payer.tags = job_text.tags) WHERE state < 2",
    NULL,
};

/* Months that were closed. */
static const char *const SCHEMA_CLOSES[] = {
    "CREATE TABLE month_close ("
    " id INTEGER PRIMARY KEY, month TEXT NOT NULL, zone TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,"
    " last_posting INTEGER NOT NULL, at_us INTEGER NOT NULL, who TEXT NOT NULL, postings INTEGER NOT NULL, gpu_us INTEGER NOT NULL,"
    " cost_micro INTEGER NOT NULL, used_micro INTEGER NOT NULL, idle_micro INTEGER NOT NULL, waste_micro INTEGER NOT NULL,"
    " digest TEXT NOT NULL) STRICT",
    NULL,
};

/* Small things that the broker holds whole in memory: see struct weir_document_row. */
static const char *const SCHEMA_DOCUMENTS[] = {
    "CREATE TABLE document ("
    " kind TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID",
    NULL,
};

/* What bills read of the ledger, packed by WEIR_LEDGER_PAGE_ROWS postings up to the last one: made from the postings, as time goes on. */
static const char *const SCHEMA_PAGES[] = {
    "CREATE TABLE posting_page (last INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, packed BLOB NOT NULL) STRICT",
    NULL,
};

/*
 * Quotas; a hold says when its run is over at the latest. Numbers: scope and span as of budgets; counts 0 gpus, 1 gpu-hours, 2 run-minutes,
 * 3 machines, 4 tasks.
 */
static const char *const SCHEMA_QUOTAS[] = {
    "CREATE TABLE quota ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, scope INTEGER NOT NULL, project INTEGER NOT NULL, user INTEGER NOT NULL, tag TEXT NOT NULL,"
    " counts INTEGER NOT NULL, gpu_model TEXT NOT NULL, span INTEGER NOT NULL, most INTEGER NOT NULL, from_us INTEGER NOT NULL,"
    " until_us INTEGER NOT NULL, span_from_us INTEGER NOT NULL, span_until_us INTEGER NOT NULL, used_ms INTEGER NOT NULL,"
    " n INTEGER NOT NULL, held_ms INTEGER NOT NULL, begun_ms INTEGER NOT NULL, as_of_us INTEGER NOT NULL) STRICT",
    "ALTER TABLE hold ADD COLUMN until_us INTEGER NOT NULL DEFAULT 0",
    NULL,
};

/* Rules of prices, and what was rated by them. */
static const char *const SCHEMA_RULES[] = {
    "CREATE TABLE rule ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, from_us INTEGER NOT NULL,"
    " until_us INTEGER NOT NULL, at_us INTEGER NOT NULL, who TEXT NOT NULL) STRICT",
    "ALTER TABLE posting ADD COLUMN rule INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE month_close ADD COLUMN price_micro INTEGER NOT NULL DEFAULT 0",
    /* what was billed in another currency, as it was */
    "ALTER TABLE posting ADD COLUMN currency TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE posting ADD COLUMN original_micro INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE invoice_line ADD COLUMN currency TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE invoice_line ADD COLUMN original_nano INTEGER NOT NULL DEFAULT 0",
    NULL,
};

/* Pages of postings say whose lease and which rule; they are made again. */
static const char *const SCHEMA_PAGES_OF_RATINGS[] = {"DELETE FROM posting_page", NULL};

/* How much a quota may borrow beyond its own share, most: of those that share; all that there is: the largest number. */
static const char *const SCHEMA_SHARES[] = {"ALTER TABLE quota ADD COLUMN borrow INTEGER", NULL};

/* What a rented machine is priced in, where that is not the ledger's currency, and the rate of its quote. */
static const char *const SCHEMA_EXCHANGE[] = {
    "ALTER TABLE lease ADD COLUMN currency TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lease ADD COLUMN original_micro_per_hour INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN rate_nano INTEGER NOT NULL DEFAULT 0",
    NULL,
};

/*
 * What came from the grid and what that emitted; carbon NULL: not known, as of all that was posted before. Of sums it is told by what it
 * cost. Pages of postings have it; they are made again.
 */
static const char *const SCHEMA_CARBON[] = {
    "ALTER TABLE posting ADD COLUMN energy_mj INTEGER",
    "ALTER TABLE posting ADD COLUMN carbon_ug INTEGER",
    "ALTER TABLE meter ADD COLUMN carbon_ug_per_kwh INTEGER",
    "ALTER TABLE job ADD COLUMN energy_mj INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN carbon_ug INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN carbon_unknown_micro INTEGER NOT NULL DEFAULT 0",
    "UPDATE job SET carbon_unknown_micro = cost_micro WHERE cost_micro <> 0",
    "ALTER TABLE total ADD COLUMN energy_mj INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE total ADD COLUMN carbon_ug INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE total ADD COLUMN carbon_unknown_micro INTEGER NOT NULL DEFAULT 0",
    "UPDATE total SET carbon_unknown_micro = amount_micro",
    "DELETE FROM posting_page",
    NULL,
};

/*
 * Prices of machines that change while these are there: since when a meter and a lease have theirs, what was charged by then, and the price
 * in force (of a lease 0: the quote); and which prices a lease had, from when on.
 */
static const char *const SCHEMA_LEASE_PRICES[] = {
    "ALTER TABLE meter ADD COLUMN priced_us INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE meter ADD COLUMN priced_micro INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN price_now_micro_per_hour INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN priced_us INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN priced_micro INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE lease_price ("
    " lease INTEGER NOT NULL, from_us INTEGER NOT NULL, micro_per_hour INTEGER NOT NULL, told_us INTEGER NOT NULL,"
    " PRIMARY KEY (lease, from_us)) STRICT, WITHOUT ROWID",
    NULL,
};

/*
 * Of the prices of a machine which it is, and the last posting that was made before it was told: by these its charges are proven. Of those that
 * are there already it is not known: -1.
 */
static const char *const SCHEMA_LEASE_PRICES_PROVEN[] = {
    "ALTER TABLE lease_price RENAME TO lease_price_by_time",
    "CREATE TABLE lease_price ("
    " lease INTEGER NOT NULL, number INTEGER NOT NULL, from_us INTEGER NOT NULL, micro_per_hour INTEGER NOT NULL, told_us INTEGER NOT NULL,"
    " after_posting INTEGER NOT NULL, PRIMARY KEY (lease, number)) STRICT, WITHOUT ROWID",
    "INSERT INTO lease_price SELECT lease, row_number() OVER (PARTITION BY lease ORDER BY from_us), from_us, micro_per_hour, told_us, -1"
    " FROM lease_price_by_time",
    "DROP TABLE lease_price_by_time",
    NULL,
};

/* Whether the carbon of some use is not known, as use may cost nothing. */
static const char *const SCHEMA_CARBON_UNKNOWN[] = {
    "ALTER TABLE job ADD COLUMN carbon_unknown INTEGER NOT NULL DEFAULT 0",
    "UPDATE job SET carbon_unknown = 1 WHERE id IN (SELECT job FROM posting WHERE carbon_ug IS NULL AND debit BETWEEN 5 AND 9 AND debit <> 6)",
    "ALTER TABLE total ADD COLUMN carbon_unknown INTEGER NOT NULL DEFAULT 0",
    "UPDATE total SET carbon_unknown = 1 WHERE (project, pool, account) IN"
    " (SELECT project, pool, debit FROM posting WHERE carbon_ug IS NULL AND debit BETWEEN 5 AND 9)",
    NULL,
};

/* Of a lease by a commitment: the reservation that its launch names, when what is reserved ends, and the plan whose money it takes. */
static const char *const SCHEMA_COMMITMENTS[] = {
    "ALTER TABLE lease ADD COLUMN reservation TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lease ADD COLUMN ends_us INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN plan INTEGER NOT NULL DEFAULT 0",
    NULL,
};

const char *const *const weir_sqlite_migrations[WEIR_STORE_SCHEMA] = {SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4, SCHEMA_ACCESS, SCHEMA_CORRECTIONS, SCHEMA_BUDGETS, SCHEMA_CLOSES,
                                                                         SCHEMA_DOCUMENTS, SCHEMA_PAGES, SCHEMA_QUOTAS, SCHEMA_RULES, SCHEMA_PAGES_OF_RATINGS, SCHEMA_SHARES, SCHEMA_EXCHANGE,
                                                                         SCHEMA_CARBON, SCHEMA_LEASE_PRICES, SCHEMA_LEASE_PRICES_PROVEN, SCHEMA_CARBON_UNKNOWN, SCHEMA_COMMITMENTS};
