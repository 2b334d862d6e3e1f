/* SPDX-License-Identifier: Apache-2.0 */
/* The route table: what is served, to whom, with which parameters. The dispatcher, the checks, the OpenAPI
 * document and the tests all read it. A row names what it is about; above it stands what each role may do of that. */
#include "api/api_priv.h"

/* clang-format off: a table, a row each */
#define PARAMS (const struct api_param[])
#define END {.name = NULL}
#define NONE PARAMS{END}
#define ID_MAX INT64_MAX
#define USER_NAME_MAX (sizeof((struct weir_identity *)0)->user - 1)

#define P_LIMIT {"limit", API_PARAM_UINT, .min = 1, .max = API_LIST_LIMIT_MAX, .summary = "at most so many; 100 where not given"}
#define P_CURSOR {"cursor", API_PARAM_UINT, .min = 0, .max = ID_MAX, .summary = "where the last list's next said to go on"}
#define P_TASK {"task", API_PARAM_UINT, .min = 0, .max = UINT32_MAX - 1, .summary = "array index"}
#define P_NAME(n, text) {n, API_PARAM_TEXT, .min = 1, .max = WEIR_SPEC_NAME_MAX, .summary = text}
#define P_RANK {"rank", API_PARAM_UINT, .min = 0, .max = WEIR_GANG_NODES_MAX - 1, .summary = "node of a gang; 0 where not given"}

#define JOB PARAMS{{"job", API_PARAM_UINT, true, 1, ID_MAX, .summary = "job id"}, END}
#define NODE PARAMS{{"node", API_PARAM_UINT, true, 1, ID_MAX, .summary = "node id"}, END}
#define LEASE PARAMS{{"lease", API_PARAM_UINT, true, 1, ID_MAX, .summary = "lease id"}, END}
#define PROJECT PARAMS{{"project", API_PARAM_TEXT, true, 1, WEIR_SPEC_NAME_MAX, .summary = "project name"}, END}
#define USER PARAMS{{"user", API_PARAM_TEXT, true, 1, USER_NAME_MAX, .summary = "user name"}, END}
#define MEMBER PARAMS{{"project", API_PARAM_TEXT, true, 1, WEIR_SPEC_NAME_MAX, .summary = "project name"},                       \
                      {"user", API_PARAM_TEXT, true, 1, USER_NAME_MAX, .summary = "user name"}, END}
#define TOKEN PARAMS{{"token", API_PARAM_TEXT, true, 16, 16, .summary = "token id"}, END}
#define BUDGET PARAMS{{"budget", API_PARAM_TEXT, true, 1, WEIR_BUDGET_NAME_SIZE - 1, .summary = "budget name"}, END}

#define RULE PARAMS{{"rule", API_PARAM_TEXT, true, 1, 64, .summary = "rule name"}, END}

#define NO API_REACH_NO
#define OWN API_REACH_OWN
#define WHOLE API_REACH_WHOLE
#define ALL API_REACH_ALL
#define ACCESS(in_project, a, o, f, u, v, agents)                                                                              \
    {WEIR_ROLE_##in_project,                                                                                                   \
     {[WEIR_ROLE_ADMIN] = a, [WEIR_ROLE_OPERATOR] = o, [WEIR_ROLE_FINANCE] = f, [WEIR_ROLE_USER] = u, [WEIR_ROLE_VIEWER] = v, [WEIR_ROLE_AGENT] = agents}}

/* A role that is not named, and a row without one, reaches nothing. */
const struct api_access api_access[API_ROLE_MAX] = {
    /*                   in the project  admin operator finance user   viewer agent */
    [API_ROLE_AGENT]   = ACCESS(NONE,    ALL,  NO,      NO,     NO,    NO,    ALL),
    [API_ROLE_ADMIN]   = ACCESS(NONE,    ALL,  NO,      NO,     NO,    NO,    NO),
    [API_ROLE_OPERATE] = ACCESS(NONE,    ALL,  ALL,     NO,     NO,    NO,    NO),
    [API_ROLE_ANY]     = ACCESS(VIEWER,  ALL,  ALL,     OWN,    OWN,   OWN,   NO),
    [API_ROLE_JOBS]    = ACCESS(VIEWER,  ALL,  ALL,     OWN,    OWN,   OWN,   NO),
    [API_ROLE_LOGS]    = ACCESS(VIEWER,  ALL,  OWN,     OWN,    OWN,   OWN,   NO),
    [API_ROLE_SUBMIT]  = ACCESS(USER,    ALL,  OWN,     OWN,    OWN,   NO,    NO),
    [API_ROLE_CANCEL]  = ACCESS(USER,    ALL,  ALL,     OWN,    OWN,   NO,    NO),
    [API_ROLE_HISTORY] = ACCESS(VIEWER,  ALL,  ALL,     ALL,    OWN,   OWN,   NO),
    [API_ROLE_BILL]    = ACCESS(VIEWER,  ALL,  OWN,     ALL,    OWN,   OWN,   NO),
    [API_ROLE_SUMS]    = ACCESS(NONE,    ALL,  ALL,     ALL,    WHOLE, WHOLE, NO),
    [API_ROLE_BOOKS]   = ACCESS(NONE,    ALL,  NO,      ALL,    NO,    NO,    NO),
    [API_ROLE_MEMBERS] = ACCESS(OWNER,   ALL,  OWN,     OWN,    OWN,   NO,    NO),
    [API_ROLE_BUDGETS] = ACCESS(NONE,    ALL,  ALL,     ALL,    NO,    NO,    NO),
    [API_ROLE_BUDGET_SET] = ACCESS(NONE, ALL,  NO,      ALL,    NO,    NO,    NO),
    [API_ROLE_AUDIT]   = ACCESS(NONE,    ALL,  NO,      ALL,    NO,    NO,    NO),
};

const struct api_route api_routes[] = {
    {"POST", "/v1/jobs", "submitJob", "jobs", API_ROLE_SUBMIT, 201, "Submitted", .body = "JobSpec", .body_max = WEIR_SPEC_BYTES_MAX,
     .errors = API_IMPOSSIBLE | API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"dry_run", API_PARAM_BOOL, .summary = "decide and store nothing; answers 200 with a DryRun"}, END},
     .handle = api_handle_submit, .summary = "Submit a job"},
    {"GET", "/v1/jobs", "listJobs", "jobs", API_ROLE_JOBS, 200, "Job", .is_list = true, .errors = API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"state", API_PARAM_WORDS, .word = api_job_state_word, .words = WEIR_JOB_STATE_MAX, .summary = "comma list of states"},
                     P_NAME("project", "of this project"), P_NAME("user", "of this user"), P_NAME("name", "of this name"), P_LIMIT, P_CURSOR, END},
     .handle = api_handle_jobs, .summary = "List jobs, newest first"},
    {"GET", "/v1/jobs/{job}", "getJob", "jobs", API_ROLE_JOBS, 200, "Job", .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = JOB, .param = NONE,
     .handle = api_handle_job, .summary = "One job with its specification"},
    {"POST", "/v1/jobs/{job}/cancel", "cancelJob", "jobs", API_ROLE_CANCEL, 200, "Job", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = JOB, .param = PARAMS{P_TASK, END}, .handle = api_handle_cancel, .summary = "Cancel a job or one task of it"},
    {"GET", "/v1/jobs/{job}/wait", "waitJob", "jobs", API_ROLE_JOBS, 200, "Job", .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = JOB,
     .param = PARAMS{{"timeout_s", API_PARAM_UINT, .min = 0, .max = 60, .summary = "answer after so long in any case; 30 where not given"}, END},
     .handle = api_handle_wait, .summary = "Wait for a job's end"},
    {"GET", "/v1/jobs/{job}/tasks", "listTasks", "jobs", API_ROLE_JOBS, 200, "Task", .is_list = true, .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = JOB,
     .param = PARAMS{{"state", API_PARAM_WORDS, .word = api_task_state_word, .words = WEIR_TASK_STATE_MAX, .summary = "comma list of states"},
                     {"index", API_PARAM_UINT, .min = 0, .max = UINT32_MAX - 1, .summary = "only the task with this array index"}, P_LIMIT, P_CURSOR, END},
     .handle = api_handle_tasks, .summary = "List the tasks of a job in order of their index"},
    {"GET", "/v1/jobs/{job}/explain", "explainJob", "jobs", API_ROLE_JOBS, 200, "Explain", .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = JOB,
     .param = PARAMS{P_TASK, P_LIMIT, END}, .handle = api_handle_explain, .summary = "Why its tasks are where they are"},
    {"GET", "/v1/jobs/{job}/log", "readLog", "jobs", API_ROLE_LOGS, 200, "text/plain", .errors = API_NOT_FOUND, .path_param = JOB,
     .param = PARAMS{P_TASK,
                     {"attempt", API_PARAM_UINT, .min = 1, .max = UINT32_MAX, .summary = "the last one where not given"},
                     P_RANK,
                     {"offset", API_PARAM_UINT, .min = 0, .max = ID_MAX, .summary = "skip so many bytes"},
                     {"follow", API_PARAM_BOOL, .summary = "stream until the task, or the given attempt, has ended"},
                     END},
     .handle = api_handle_log, .summary = "What a task wrote"},
    {"GET", "/v1/history", "listHistory", "jobs", API_ROLE_HISTORY, 200, "HistoryTask", .is_list = true, .path_param = NONE,
     .param = PARAMS{{"from", API_PARAM_TIME, .summary = "of jobs submitted then or later"},
                     {"to", API_PARAM_TIME, .summary = "of jobs submitted before"}, P_LIMIT, P_CURSOR, END},
     .handle = api_handle_history, .summary = "Every task that has left the queue with what it asked for and got, oldest job first"},
    {"GET", "/v1/offers", "listOffers", "cloud", API_ROLE_ANY, 200, "Offers", .errors = API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"gpus", API_PARAM_TEXT, .min = 1, .max = 256, .summary = "A100:8"},
                     {"spot", API_PARAM_BOOL, .summary = "only spot, or only others"},
                     {"region", API_PARAM_TEXT, .min = 1, .max = 64, .summary = "pattern: eu-*"},
                     {"cloud", API_PARAM_TEXT, .min = 1, .max = 64, .summary = "pattern of the provider's name"},
                     {"launchable", API_PARAM_BOOL, .summary = "only what can be had now: owned, or of a configured provider"},
                     {"all", API_PARAM_BOOL, .summary = "excluded ones too, with the reason"},
                     P_LIMIT, P_CURSOR, END},
     .handle = api_handle_offers, .summary = "Every way to get such a machine, owned first, then by price"},
    {"GET", "/v1/pools", "listPools", "nodes", API_ROLE_ANY, 200, "Pool", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_pools, .summary = "List pools"},
    {"GET", "/v1/nodes", "listNodes", "nodes", API_ROLE_ANY, 200, "Node", .is_list = true, .path_param = NONE,
     .param = PARAMS{{"all", API_PARAM_BOOL, .summary = "those that are gone too"}, P_LIMIT, P_CURSOR, END}, .handle = api_handle_nodes, .summary = "List nodes"},
    {"GET", "/v1/leases", "listLeases", "cloud", API_ROLE_ANY, 200, "Lease", .is_list = true, .path_param = NONE,
     .param = PARAMS{{"all", API_PARAM_BOOL, .summary = "ended ones too"}, P_LIMIT, P_CURSOR, END}, .handle = api_handle_leases, .summary = "List leases"},
    {"POST", "/v1/nodes/{node}/drain", "drainNode", "nodes", API_ROLE_OPERATE, 200, "Node", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = NODE, .param = NONE, .handle = api_handle_drain, .summary = "Let a node take nothing new"},
    {"POST", "/v1/nodes/{node}/resume", "resumeNode", "nodes", API_ROLE_OPERATE, 200, "Node", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = NODE, .param = NONE, .handle = api_handle_resume, .summary = "Let a drained node take tasks again"},
    {"POST", "/v1/nodes/{node}/remove", "removeNode", "nodes", API_ROLE_OPERATE, 200, "Node", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = NODE, .param = NONE, .handle = api_handle_remove, .summary = "Forget a node; what runs there is lost"},
    {"POST", "/v1/leases/{lease}/end", "endLease", "cloud", API_ROLE_OPERATE, 200, "Lease", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = LEASE, .param = NONE, .handle = api_handle_lease_end, .summary = "Drain a rented machine, then give it back"},
    {"GET", "/v1/projects", "listProjects", "money", API_ROLE_BILL, 200, "Project", .is_list = true, .errors = API_UNAVAILABLE, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_projects, .summary = "List projects"},
    {"GET", "/v1/projects/{project}", "getProject", "money", API_ROLE_BILL, 200, "Project", .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = PROJECT, .param = NONE,
     .handle = api_handle_project, .summary = "One project with its cost by pool"},
    {"PUT", "/v1/projects/{project}", "setProject", "money", API_ROLE_ADMIN, 200, "Project", .body = "ProjectSet", .body_max = API_SMALL_BODY_MAX,
     .errors = API_UNAVAILABLE, .path_param = PROJECT, .param = NONE, .handle = api_handle_project_set, .summary = "Make or change a project"},
    {"PUT", "/v1/projects/{project}/members/{user}", "setMember", "access", API_ROLE_MEMBERS, 200, "Member", .body = "MemberSet", .body_max = API_SMALL_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = MEMBER, .param = NONE, .handle = api_handle_member_set, .summary = "Make somebody a member of a project, or change their role in it"},
    {"DELETE", "/v1/projects/{project}/members/{user}", "removeMember", "access", API_ROLE_MEMBERS, 200, "Removed", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = MEMBER, .param = NONE, .handle = api_handle_member_remove, .summary = "Take somebody out of a project"},
    {"GET", "/v1/budgets", "listBudgets", "money", API_ROLE_BUDGETS, 200, "Budget", .is_list = true, .errors = API_UNAVAILABLE, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_budgets, .summary = "List budgets"},
    {"GET", "/v1/budgets/{budget}", "getBudget", "money", API_ROLE_BUDGETS, 200, "Budget", .errors = API_NOT_FOUND | API_UNAVAILABLE, .path_param = BUDGET, .param = NONE,
     .handle = api_handle_budget, .summary = "One budget"},
    {"PUT", "/v1/budgets/{budget}", "setBudget", "money", API_ROLE_BUDGET_SET, 200, "Budget", .body = "BudgetSet", .body_max = API_SMALL_BODY_MAX,
     .errors = API_UNAVAILABLE, .path_param = BUDGET, .param = NONE, .handle = api_handle_budget_set, .summary = "Make or change a budget"},
    {"DELETE", "/v1/budgets/{budget}", "removeBudget", "money", API_ROLE_BUDGET_SET, 200, "BudgetRemoved", .errors = API_NOT_FOUND | API_UNAVAILABLE,
     .path_param = BUDGET, .param = NONE, .handle = api_handle_budget_remove, .summary = "Remove a budget"},
    {"GET", "/v1/bill", "getBill", "money", API_ROLE_BILL, 200, "Bill", .errors = API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"by", API_PARAM_TEXT, .min = 1, .max = 512, .summary = "comma list of project, user, tag:NAME, pool, job, node, gpu, day, month, late; project where not given"},
                     {"zone", API_PARAM_TEXT, .min = 1, .max = API_ZONE_NAME_MAX, .summary = "of days and months, like Europe/Berlin; UTC where not given"},
                     {"from", API_PARAM_TIME, .summary = "the ledger's start where not given"},
                     {"to", API_PARAM_TIME, .summary = "now where not given"},
                     {"view", API_PARAM_WORDS, .word = api_view_word, .words = API_VIEWS, .summary = "cost, or price: with what was rated by rules; cost where not given"},
                     P_NAME("project", "of this project"), P_NAME("user", "of this user"),
                     {"job", API_PARAM_UINT, .min = 1, .max = ID_MAX, .summary = "of this job"}, END},
     .handle = api_handle_bill, .summary = "Sums of the ledger"},
    {"GET", "/v1/bill/check", "checkBill", "money", API_ROLE_SUMS, 200, "BillCheck", .errors = API_UNAVAILABLE, .path_param = NONE, .param = NONE,
     .handle = api_handle_bill_check, .summary = "Prove that both sides of the ledger are equal"},
    {"GET", "/v1/charges", "listCharges", "money", API_ROLE_BILL, 200, "Charge", .is_list = true, .errors = API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"from", API_PARAM_TIME, .summary = "the ledger's start where not given"},
                     {"to", API_PARAM_TIME, .summary = "now where not given"},
                     {"hourly", API_PARAM_BOOL, .summary = "a row for an hour at most; for a day (UTC) where not given"},
                     {"view", API_PARAM_WORDS, .word = api_view_word, .words = API_VIEWS, .summary = "cost, or price: with what was rated by rules; cost where not given"},
                     P_NAME("project", "of this project"), P_NAME("user", "of this user"), P_CURSOR, END},
     .handle = api_handle_charges, .summary = "What the use of nodes cost, by node, job, account and day, for exports"},
    {"GET", "/v1/corrections", "listCorrections", "money", API_ROLE_SUMS, 200, "Correction", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_corrections, .summary = "Credits, charges and differences from providers' bills, oldest first"},
    {"POST", "/v1/corrections", "addCorrection", "money", API_ROLE_BOOKS, 201, "Correction", .body = "CorrectionAdd", .body_max = API_SMALL_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_correction_add,
     .summary = "Book a credit or a charge as new postings"},
    {"GET", "/v1/closes", "listCloses", "money", API_ROLE_SUMS, 200, "Close", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_closes, .summary = "Months that were closed, oldest first"},
    {"POST", "/v1/closes", "closeMonth", "money", API_ROLE_BOOKS, 201, "Close", .body = "CloseMonth", .body_max = API_SMALL_BODY_MAX,
     .errors = API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_close,
     .summary = "Close a month: what comes for it later is billed in the first month that is open"},
    {"GET", "/v1/rules", "listRules", "money", API_ROLE_SUMS, 200, "Rule", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_rules, .summary = "Rules of prices and rates of currencies, those that have ended too"},
    {"PUT", "/v1/rules/{rule}", "addRule", "money", API_ROLE_BOOKS, 200, "Rule", .body = "RuleAdd", .body_max = API_SMALL_BODY_MAX,
     .errors = API_CONFLICT | API_UNAVAILABLE, .path_param = RULE, .param = NONE, .handle = api_handle_rule_add, .summary = "Add a rule; rules never change"},
    {"POST", "/v1/rules/{rule}/end", "endRule", "money", API_ROLE_BOOKS, 200, "Rule", .body = "RuleEnd", .body_max = API_SMALL_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = RULE, .param = NONE, .handle = api_handle_rule_end,
     .summary = "Let a rule end"},
    {"POST", "/v1/invoices/lines", "putInvoiceLines", "money", API_ROLE_BOOKS, 200, "InvoiceStored", .body = "InvoiceLines", .body_max = API_INVOICE_BODY_MAX,
     .errors = API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_invoice_lines,
     .summary = "Keep lines of a provider's bill; a line that is there is replaced"},
    {"POST", "/v1/reconcile", "reconcile", "money", API_ROLE_BOOKS, 200, "Reconciled", .body = "Reconcile", .body_max = API_SMALL_BODY_MAX,
     .errors = API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_reconcile,
     .summary = "Post what the kept lines of leases differ from the ledger by"},
    {"GET", "/v1/events", "listEvents", "events", API_ROLE_JOBS, 200, "Event", .errors = API_NOT_FOUND, .is_list = true, .path_param = NONE,
     .param = PARAMS{{"after", API_PARAM_UINT, .min = 0, .max = ID_MAX, .summary = "ids above this one"},
                     {"cursor", API_PARAM_UINT, .min = 0, .max = ID_MAX, .summary = "the same as after"},
                     {"job", API_PARAM_UINT, .min = 1, .max = ID_MAX, .summary = "of this job"},
                     P_LIMIT,
                     {"follow", API_PARAM_BOOL, .summary = "stream as application/x-ndjson without end"},
                     END},
     .handle = api_handle_events, .summary = "What happened, oldest first"},
    {"GET", "/v1/whoami", "whoAmI", "access", API_ROLE_ANY, 200, "WhoAmI", .path_param = NONE, .param = NONE,
     .handle = api_handle_whoami, .summary = "Whose credential this is, and what it may do"},
    {"GET", "/v1/users", "listUsers", "access", API_ROLE_ADMIN, 200, "User", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_users, .summary = "List users, by name"},
    {"PUT", "/v1/users/{user}", "setUser", "access", API_ROLE_ADMIN, 200, "User", .body = "UserSet", .body_max = API_SMALL_BODY_MAX,
     .errors = API_CONFLICT | API_UNAVAILABLE, .path_param = USER, .param = NONE, .handle = api_handle_user_set, .summary = "Make or change a user"},
    {"DELETE", "/v1/users/{user}", "removeUser", "access", API_ROLE_ADMIN, 200, "Removed", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = USER, .param = NONE, .handle = api_handle_user_remove, .summary = "Remove a user and revoke their tokens; their jobs and bills stay"},
    {"GET", "/v1/tokens", "listTokens", "access", API_ROLE_ANY, 200, "Token", .is_list = true, .path_param = NONE, .param = PARAMS{P_LIMIT, P_CURSOR, END},
     .handle = api_handle_tokens, .summary = "List one's own tokens; an admin all"},
    {"POST", "/v1/tokens", "makeToken", "access", API_ROLE_ANY, 201, "TokenMade", .body = "TokenMake", .body_max = API_SMALL_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_token_make, .summary = "Make a token; the answer alone has its secret"},
    {"DELETE", "/v1/tokens/{token}", "revokeToken", "access", API_ROLE_ANY, 200, "Removed", .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE,
     .path_param = TOKEN, .param = NONE, .handle = api_handle_token_revoke, .summary = "Revoke a token; what goes on with it ends"},
    {"GET", "/v1/audit", "listAudit", "access", API_ROLE_AUDIT, 200, "Change", .is_list = true, .path_param = NONE,
     .param = PARAMS{{"since", API_PARAM_TIME, .summary = "not older"}, P_LIMIT, P_CURSOR, END}, .handle = api_handle_audit, .summary = "Who changed what, newest first"},
    {"GET", "/v1/status", "getStatus", "broker", API_ROLE_ANY, 200, "Status", .errors = API_UNAVAILABLE, .path_param = NONE, .param = NONE,
     .handle = api_handle_status, .summary = "Counts and checks"},
    {"GET", "/v1/health", "getHealth", "broker", API_ROLE_NONE, 200, "Health", .path_param = NONE, .param = NONE, .handle = api_handle_health, .summary = "Is it up?"},
    {"GET", "/v1/version", "getVersion", "broker", API_ROLE_ANY, 200, "Version", .path_param = NONE, .param = NONE, .handle = api_handle_version, .summary = "Version of program, protocol and schema"},
    {"GET", "/v1/openapi.json", "getOpenApi", "broker", API_ROLE_NONE, 200, "Document", .path_param = NONE, .param = NONE, .handle = api_handle_openapi, .summary = "This document"},
    {"GET", "/metrics", "getMetrics", "broker", API_ROLE_SUMS, 200, "text/plain", .errors = API_UNAVAILABLE, .path_param = NONE, .param = NONE,
     .handle = api_handle_metrics, .summary = "Figures in Prometheus' text format"},
    {"POST", "/v1/sandbox/fault", "makeSandboxFault", "broker", API_ROLE_OPERATE, 200, "Fault", .body = "Fault", .body_max = API_SMALL_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_fault, .summary = "Let the sandbox provider fail"},
    {"POST", "/v1/agent/sync", "agentSync", "agent", API_ROLE_AGENT, 200, "AgentMessage", .body = "AgentMessage", .body_max = API_AGENT_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_sync, .summary = "An agent asks for commands"},
    {"POST", "/v1/agent/report", "agentReport", "agent", API_ROLE_AGENT, 200, "AgentMessage", .body = "AgentMessage", .body_max = API_AGENT_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_report, .summary = "An agent tells what happened"},
    {"POST", "/v1/agent/log", "agentLog", "agent", API_ROLE_AGENT, 200, "LogStored", .body = "application/octet-stream", .body_max = API_LOG_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE,
     .param = PARAMS{{"node", API_PARAM_UINT, true, 1, ID_MAX, .summary = "the agent's node"},
                     {"session", API_PARAM_TEXT, true, 1, 128, .summary = "of the join"},
                     {"job", API_PARAM_UINT, true, 1, ID_MAX, .summary = "job id"},
                     {"ordinal", API_PARAM_UINT, true, 0, WEIR_ARRAY_TASKS_MAX - 1, .summary = "of the task in its job"},
                     {"attempt", API_PARAM_UINT, true, 1, UINT32_MAX, .summary = "of the run"},
                     P_RANK,
                     {"offset", API_PARAM_UINT, true, 0, ID_MAX, .summary = "where the body begins in the log"},
                     END},
     .handle = api_handle_log_upload, .summary = "An agent sends a piece of a log"},
    {"POST", "/v1/agent/join", "agentJoin", "agent", API_ROLE_AGENT, 200, "AgentMessage", .body = "AgentMessage", .body_max = API_AGENT_BODY_MAX,
     .errors = API_NOT_FOUND | API_CONFLICT | API_UNAVAILABLE, .path_param = NONE, .param = NONE, .handle = api_handle_join, .summary = "An agent joins"},
    {.method = NULL},
};
