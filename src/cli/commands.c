/* SPDX-License-Identifier: Apache-2.0 */

/* The table of all commands: everything that a person can read about them stands here. */

#include <limits.h>

#include "cloud/sandbox/sandbox.h"
#include "command.h"

const char weir_environment_text[] = "WEIR_URL\tthe broker (default http://127.0.0.1:7070)\n"
                                     "WEIR_TOKEN\ttoken for the broker; not needed for one of your own on this host\n"
                                     "WEIR_CA\tfile with the authority to trust for https (tls/ca.pem of the broker)\n"
                                     "NO_COLOR\tset: no colours on terminals\n";

const struct weir_opt weir_common_options[] = {
    {"json", 0, WEIR_OPT_FLAG, .help = "print the result as JSON"},
    {"url", 0, WEIR_OPT_TEXT, .arg = "URL", .help = "the broker, over WEIR_URL"},
    {"help", 'h', WEIR_OPT_FLAG, .help = "this text"},
    {0},
};

#define JOB_EXITS                                                                                                      \
    "the job's\tits exit code, or 128 + the signal that ended it\n"                                                    \
    "124\tstopped at its max_duration\n"                                                                               \
    "137\tkilled for using more memory than it asked for\n"                                                            \
    "143\tcancelled\n"

#define SURROUNDINGS                                                                                                   \
    "Commands and scripts run in the directory from which they are submitted, where the broker runs on\n"              \
    "this host, and are given these variables of the caller: PATH, HOME, USER, LOGNAME, SHELL, LANG,\n"                \
    "LC_ALL, TZ, VIRTUAL_ENV, CONDA_PREFIX, CONDA_DEFAULT_ENV, PYTHONPATH, LD_LIBRARY_PATH; others only\n"             \
    "by --env NAME, so that no secret is stored by accident. --clean-env passes none. Jobs in a container\n"           \
    "and job files in YAML are given only what they name."

#define JOBS "Jobs"
#define LOOK "Places and prices"
#define MONEY "Money"
#define WHO "Who may do what"
#define HOUSE "Running weir"

const struct weir_cli_command weir_cli_commands[] = {
    {
        .name = "run",
        .group = JOBS,
        .fn = weir_cmd_run,
        .operands = "[--] COMMAND [ARGUMENT]...",
        .summary = "Run a command as a job, show its output, exit with its code",
        .opts = weir_opts_run,
        .help =
            "Submits the command, streams its output as it comes and exits as the command did. While the job\n"
            "waits, the reason is shown on a terminal. Standard input is not passed on.\n"
            "\n"
            "Ctrl-C asks whether to cancel the job, to leave it running (exit code 130), or to go on; pressed\n"
            "again it cancels. Where nobody can be asked, SIGINT and SIGTERM cancel the job. A terminal that\n"
            "goes away leaves the job running.\n"
            "\n"
            "With --array the output of the tasks comes in their order, each line headed by its task.\n\n" SURROUNDINGS,
        .examples =
            "weir run --gpus A100:2 -- python train.py\ttwo A100 of the own pool, or rented ones where that is better\n"
            "weir run --gpus 1 --spot --max-cost 5 -- ./sweep.sh\tany GPU; rented only as spot, for at most 5 of the ledger's currency\n"
            "weir run --array 0-9 -- sh -c 'echo $WEIR_TASK_INDEX'\tten tasks\n"
            "id=$(weir run --detach --gpus 1 -- ./train.sh)\tnot waited for; 'weir logs -f $id' shows its output\n",
        .exits = JOB_EXITS "125\tweir itself failed: no broker, an impossible request, a bad option\n"
                           "130\tleft running after Ctrl-C\n",
        .operands_min = 1,
        .operands_max = UINT_MAX,
        .order = WEIR_OPT_OPERAND_ENDS,
        .failure_exit = 125,
    },
    {
        .name = "submit",
        .group = JOBS,
        .fn = weir_cmd_submit,
        .operands = "FILE...",
        .summary = "Submit job files; prints the jobs' ids",
        .opts = weir_opts_submit,
        .help = "A file is weir's YAML, a SkyPilot task file, or a script with #SBATCH lines; which one is told by\n"
                "its content. '-' is standard input. Options count over what the file says. What weir cannot honour\n"
                "is named in a warning, or refused where ignoring it would change the result.\n"
                "\n"
                "Each id is printed on a line of its own. Where one of several files is refused, the ones before it\n"
                "have been submitted.\n\n" SURROUNDINGS,
        .examples = "weir submit train.yaml\ta YAML file\n"
                    "weir submit --array 0-99%10 --gpus 1 sweep.sh\ta script, as an array of 100, ten at once\n"
                    "id=$(weir submit job.yaml) && weir wait $id\tfor scripts\n"
                    "weir submit --dry-run big.yaml\twhat would happen, and why\n",
        .exits = "6\tno node and no offer can ever run it\n" JOB_EXITS,
        .operands_min = 1,
        .operands_max = 10000,
    },
    {
        .name = "jobs",
        .group = JOBS,
        .fn = weir_cmd_jobs,
        .operands = "",
        .summary = "List jobs",
        .opts = weir_opts_jobs,
        .help = "With --json: an array of objects with id, name, project, user, state, reason, priority, tasks, pool,\n"
                "node, gpus, exit_code, submitted, started, ended (RFC 3339, null: not yet), cost_micro (millionths),\n"
                "currency and array.",
        .examples = "weir jobs --state running\twhat runs now\n"
                    "weir jobs --all --json | jq '[.[].cost_micro] | add'\tfor programs\n",
        .operands_max = 0,
    },
    {
        .name = "show",
        .group = JOBS,
        .fn = weir_cmd_show,
        .operands = "JOB[_INDEX]...",
        .summary = "Show all about a job or a task",
        .opts = weir_opts_show,
        .examples = "weir show 12\tthe job\nweir show --tasks 12\tand its tasks\nweir show 12_7\ttask 7 of its array\n",
        .operands_min = 1,
        .operands_max = 1000,
    },
    {
        .name = "logs",
        .group = JOBS,
        .fn = weir_cmd_logs,
        .operands = "JOB[_INDEX]",
        .summary = "Show what a job has written",
        .opts = weir_opts_logs,
        .help = "The output of all tasks of an array comes in their order, each line headed by its task. That of a\n"
                "task over several nodes comes node after node, each line headed by its node, or of --rank only.\n"
                "With --follow a new attempt's log follows the one before.",
        .examples = "weir logs -f 12\tuntil the job ends\nweir logs 12_7 --attempt 1\tthe first attempt of one task\n",
        .operands_min = 1,
        .operands_max = 1,
    },
    {
        .name = "wait",
        .group = JOBS,
        .fn = weir_cmd_wait,
        .operands = "JOB[_INDEX]...",
        .summary = "Wait for jobs to end and exit as they did",
        .opts = weir_opts_wait,
        .help = "Exits with the code of the first job, in the order given, that did not succeed; 0 where all did.",
        .examples = "weir wait 12 13 && echo done\tboth succeeded\n",
        .exits = JOB_EXITS "69\tthe time given by --timeout is over\n",
        .operands_min = 1,
        .operands_max = 100000,
    },
    {
        .name = "cancel",
        .group = JOBS,
        .fn = weir_cmd_cancel,
        .operands = "JOB[_INDEX]...",
        .summary = "End jobs, or single tasks of arrays",
        .help = "Running tasks get their checkpoint signal and grace time, then they are killed. What has run is\n"
                "billed. A job that has ended already is an error (exit code 4).",
        .examples = "weir cancel 12 13_7\ta whole job and one task\n",
        .operands_min = 1,
        .operands_max = 100000,
    },
    {
        .name = "explain",
        .group = JOBS,
        .fn = weir_cmd_explain,
        .operands = "JOB[_INDEX]",
        .summary = "Why here, why now, why this price, what would change it",
        .opts = weir_opts_explain,
        .help =
            "Shows the stored records of every decision about the task, oldest first: the candidates with the terms\n"
            "of their expected cost, what was rejected and why, and the margin. A waiting task is looked at anew. Of an\n"
            "array, decisions that say the same of several tasks are told once, with one task as the example.",
        .examples =
            "weir explain 12\tthe job\nweir explain --last 12_7\tthe latest decision about task 7 of an array\n",
        .operands_min = 1,
        .operands_max = 1,
    },
    {
        .name = "offers",
        .group = LOOK,
        .fn = weir_cmd_offers,
        .operands = "",
        .summary = "Every way to get GPUs, owned ones first, with price, source and age",
        .opts = weir_opts_offers,
        .help = "Owned capacity stands first, at its full cost; then what clouds offer, cheapest first. Each price is "
                "shown\n"
                "per machine and per GPU, with where it comes from and how old it is. --all shows what is excluded and "
                "why:\n"
                "a price of zero, a stale one, one far outside its kind, a machine that does not fit.",
        .examples = "weir offers --gpus H100:8\teight H100 in one machine\n"
                    "weir offers --gpus A100 --spot --region 'eu-*'\tspot machines in Europe\n",
        .operands_max = 0,
    },
    {
        .name = "pools",
        .group = LOOK,
        .fn = weir_cmd_pools,
        .opts = weir_opts_pools,
        .operands = "",
        .summary = "List the pools: places that run tasks",
        .examples = "weir pools --cost\twhat nodes cost: billed, and as decisions see it\n",
        .operands_max = 0,
    },
    {
        .name = "nodes",
        .group = LOOK,
        .fn = weir_cmd_nodes,
        .operands = "[drain|resume|remove|revoke NODE... | invite [NODE]]",
        .summary = "List nodes; let new ones in; take them out of service and back",
        .opts = weir_opts_nodes,
        .help =
            "drain lets running tasks finish and gives the node nothing new; resume ends that; remove forgets a node\n"
            "that will not come back (its agent has ended): what ran there is lost and runs again elsewhere. A node is\n"
            "named by its name or id. invite prints a join token, good for one agent on another host, which joins with it\n"
            "and has a certificate from then on; with a name it is for that node only. revoke makes a node's certificate\n"
            "and join tokens good for nothing.",
        .examples = "weir nodes\tthe list\nweir nodes drain host1\tbefore maintenance\nweir nodes invite host7 --ca-out ca.pem > token\tlet host7 in\n",
        .operands_max = 1000,
    },
    {
        .name = "leases",
        .group = LOOK,
        .fn = weir_cmd_leases,
        .operands = "[end LEASE...]",
        .summary = "List rented machines; end them",
        .opts = weir_opts_leases,
        .help = "end gives a machine nothing new and returns it to its provider when its tasks have ended. --audit has every\n"
                "provider asked for what it has of this installation, and ends with 0 only where every machine has its lease\n"
                "and every lease its machine.",
        .examples = "weir leases --all\tthose that have ended too\nweir leases end 3\treturn one\nweir leases --audit\tthe proof that nothing is leaked\n",
        .operands_max = 1000,
    },
    {
        .name = "down",
        .group = LOOK,
        .fn = weir_cmd_down,
        .operands = "",
        .summary = "End every rented machine and wait for the proof",
        .opts = weir_opts_down,
        .help = "--all withdraws all offers, so that nothing new is rented, ends every rented machine whatever runs there, and\n"
                "waits until every provider says that none is left. What ran there waits again and runs on owned nodes, if it\n"
                "may. --resume lets machines be rented again.",
        .examples = "weir down --all\tend everything\nweir down --resume\trent again\n",
    },
    {
        .name = "top",
        .group = LOOK,
        .fn = weir_cmd_top,
        .operands = "",
        .summary = "Watch pools, nodes, running jobs and spending",
        .opts = weir_opts_top,
        .help = "Redraws in place until q is pressed. Where the output is no terminal: one frame.",
        .operands_max = 0,
    },
    {
        .name = "events",
        .group = LOOK,
        .fn = weir_cmd_events,
        .operands = "",
        .summary = "Show what happened, oldest first",
        .opts = weir_opts_events,
        .help = "With --follow --json each event is one line of JSON.",
        .examples = "weir events --job 12\tthe life of a job\nweir events -f\tas it happens\n",
        .operands_max = 0,
    },
    {
        .name = "bill",
        .group = MONEY,
        .fn = weir_cmd_bill,
        .operands = "[credit AMOUNT | charge AMOUNT | corrections | close YYYY-MM | closes]",
        .summary = "Who spent what, on what, when",
        .opts = weir_opts_bill,
        .help = "USED is what jobs used; BOOT, LOST and FAILED are waste: machines starting, work lost to reclaim or "
                "failure\n"
                "of a node, failed tasks; IDLE is what owned and rented machines cost while no job used them. TOTAL is "
                "their\n"
                "sum. Amounts are exact to the millionth. --check proves that for every node and every span of time "
                "cost and\n"
                "use are equal.\n"
                "\n"
                "--format focus writes CSV by the FinOps Open Cost and Usage Specification 1.2: a row for what a job, idle or "
                "waste\n"
                "took of a machine in a day.\n"
                "\n"
                "'credit' takes back a part of what a job, a rented machine or a node cost, 'charge' adds what metering did not "
                "see; both\n"
                "are new postings, spread over what used it by what each cost. 'corrections' lists them with their reasons.\n"
                "\n"
                "--view price shows what is charged by 'weir rule': COST is used + waste + idle, ADJUST what rules add or take off.\n"
                "\n"
                "'close' closes a month (in a zone): its statement never changes again, and what comes for it later is billed in the "
                "month\n"
                "that is open then, where '--by late' shows it. 'closes' lists closed months; --check proves them too.",
        .examples = "weir bill --by project,tag:team --month 2026-11\ta month, by project and team\n"
                    "weir bill --by day --from 2026-11-01 --format csv\tfor a spreadsheet\n"
                    "weir bill --format focus --month 2026-11 > november.csv\tfor cost tools\n"
                    "weir bill credit 12.50 --lease 7 --reason 'ticket 4711'\tthe provider gave back\n"
                    "weir bill close 2026-10\tthis month's bill is final\n"
                    "weir bill --check\tthe proof\n",
        .exits = "65\t--check: the ledger is not balanced\n",
        .operands_max = 2,
    },
    {
        .name = "reconcile",
        .group = MONEY,
        .fn = weir_cmd_reconcile,
        .operands = "FILE",
        .summary = "Compare a provider's bill with the ledger, and correct the ledger",
        .opts = weir_opts_reconcile,
        .help = "FILE is AWS's Cost and Usage Report 2.0, a FOCUS file, Google Cloud's detailed export or Azure's cost export, as CSV, "
                "plain or\n"
                "gzip. Lines are known by the machine's id, or by our tag. What was billed for a lease otherwise than booked is posted "
                "as\n"
                "correction to the jobs, idle and waste that had the machine. What bears our tag and is no lease of ours is a leak "
                "suspect.\n"
                "The same file twice changes nothing.",
        .examples = "weir reconcile cur-2026-11.csv.gz\tbring November to what AWS billed\n"
                    "weir reconcile azure.csv\tin another currency: rates are those of 'weir rule add NAME exchange'\n",
        .operands_min = 1,
        .operands_max = 1,
    },
    {
        .name = "project",
        .group = MONEY,
        .fn = weir_cmd_project,
        .operands = "[list|show NAME|set NAME|add NAME USER|rm NAME USER]",
        .summary = "List, show and set projects, and who is in them",
        .opts = weir_opts_project,
        .help = "USED is what its jobs used, WASTE what machines booting for them, lost work and failed tasks cost;\n"
                "TOTAL is the sum of both. add and rm say who is in the project; its owners may do that ('weir user' has the roles).",
        .examples = "weir project\tthe list\nweir project set vision --weight 200 --delay-cost 2.50\ttwice the share "
                    "of others\nweir project add vision ada --role viewer\tada may look\n",
        .operands_max = 3,
    },
    {
        .name = "budget",
        .group = MONEY,
        .fn = weir_cmd_budget,
        .operands = "[list|show NAME|set NAME|rm NAME]",
        .summary = "List, show, set and remove budgets",
        .opts = weir_opts_budget,
        .help = "A task counts against every budget whose scope it falls in. Before it starts, and before a machine is\n"
                "rented for it, what it may cost at worst is held; where a budget has less left the task waits, and\n"
                "'weir explain' says for which. What is charged takes the hold's place, the rest is released.\n"
                "\n"
                "'set' makes a budget or changes what is given of one. FORECAST is what will be spent by the end of the\n"
                "span if it goes on as since its beginning, with one standard deviation of days that vary by as much as\n"
                "they are on average; RUNS OUT when all of it would be spent.",
        .examples = "weir budget\tthe list\n"
                    "weir budget set vision --for project:vision --amount 2000 --at 80:warn\ta month's limit\n"
                    "weir budget set burst --for organisation --amount 500 --counts cloud --at 90:local-only\trented machines\n"
                    "weir budget set vision --amount 2500\tmore of it\n",
        .operands_max = 2,
    },
    {
        .name = "rule",
        .group = MONEY,
        .fn = weir_cmd_rule,
        .operands = "[list|add NAME KIND|end NAME]",
        .summary = "Rules of prices: markups, discounts, price lists, spread of idle time, commitments; exchange rates",
        .opts = weir_opts_rule,
        .help = "KIND is price (an amount for a GPU-hour takes the place of the cost), markup, discount, spread (of idle time over\n"
                "projects), commitment (an amount for every hour, borne by who uses it) or exchange (a currency's rate). Rules\n"
                "are for all where no option says for what; they hold from a time until another, and never change: end one,\n"
                "and add another. 'weir bill --view price' shows what they make of the cost.",
        .examples = "weir rule add house markup --percent 8\t8 % on all\n"
                    "weir rule add h100 price --per-gpu-hour 2.10 --gpu H100\ta price list\n"
                    "weir rule add idle spread --by use --pool local\twho uses the pool bears its idle time\n"
                    "weir rule add eur-nov exchange --currency EUR --rate 1.0842 --from 2026-11-01\tfor bills in another currency\n"
                    "weir rule end house\tno longer\n",
        .operands_max = 3,
    },
    {
        .name = "quota",
        .group = MONEY,
        .fn = weir_cmd_quota,
        .operands = "[list|show NAME|set NAME|rm NAME]",
        .summary = "List, show, set and remove quotas",
        .opts = weir_opts_quota,
        .help = "A task counts against every quota whose scope it falls in, and starts only where each has room for it;\n"
                "until then it waits, and 'weir explain' says for which. What is counted: gpus, machines (rented ones) and\n"
                "tasks at once; gpu-hours in a span of time, where what runs holds its max_duration; run-minutes, what of\n"
                "max_duration is left to all that runs, times its GPUs.\n"
                "\n"
                "With --borrow a quota of GPUs is a share: what is not used of it others may borrow, and it may borrow of theirs, of one\n"
                "model of GPU among projects, users or values of a tag. Borrowers are stopped, with notice, once the owner's tasks need it.\n"
                "\n"
                "'set' makes a quota or changes what is given of one. Lowered below what is used it stops nothing.",
        .examples = "weir quota\tthe list\n"
                    "weir quota set vision --for project:vision --counts gpus --limit 16\tGPUs at once\n"
                    "weir quota set h100 --for user:ada --counts gpus:H100 --limit 8\tof one model\n"
                    "weir quota set nlp --for project:nlp --counts gpus --limit 16 --borrow all\ta share that lends and borrows\n"
                    "weir quota set hours --for project:nlp --counts gpu-hours --limit 2000\tby the month\n"
                    "weir quota set cloud --for organisation --counts machines --limit 20\trented machines at once\n",
        .operands_max = 2,
    },
    {
        .name = "export",
        .group = MONEY,
        .fn = weir_cmd_export,
        .operands = "",
        .summary = "The history of all work as CSV, a line a task",
        .opts = weir_opts_export,
        .help =
            "Writes every task that has left the queue: what it asked for, when it ran and where, and what it cost; in the\n"
            "order of submission. It comes as a stream, however long the history is. 'weir sim --jobs FILE' reads it.",
        .examples = "weir export --from 2026-11-01 --to 2026-12-01 -o november.csv\ta month\n"
                    "weir export | gzip > history.csv.gz\tall of it\n",
        .operands_max = 0,
    },
    {
        .name = "user",
        .group = WHO,
        .fn = weir_cmd_user,
        .operands = "[list|whoami|add NAME|set NAME|rm NAME]",
        .summary = "Users: their roles and their projects",
        .opts = weir_opts_user,
        .help = "An admin may do everything; an operator looks after nodes and leases and sees and cancels jobs; finance sees all\n"
                "bills, the history and the audit log; a user submits, sees and cancels jobs in their projects; a viewer sees them. In a\n"
                "project somebody is owner (who also says who is in it), user or viewer. Of other projects nobody but those who\n"
                "see all learns anything. rm revokes their tokens; their jobs and bills stay.",
        .examples = "weir user add ada --project vision:owner --project speech\ta user in two projects\n"
                    "weir user set ada --role finance --no-project speech\twhat is not named stays\n"
                    "weir user set ada --disable\ttheir tokens are refused at once\n"
                    "weir user whoami\twhat this token may do\n",
        .operands_max = 2,
    },
    {
        .name = "login",
        .group = WHO,
        .fn = weir_cmd_login,
        .operands = "",
        .summary = "Sign in at the broker's OpenID Connect issuer",
        .opts = weir_opts_login,
        .help = "Shows an address and a code to enter there, in a browser on any machine, and waits until that is done. The token is kept in\n"
                "login.json of the data directory (mode 0600), for this broker alone; commands use it where WEIR_TOKEN is not set, and renew it\n"
                "where the issuer lets them. The broker's weir.yaml says which issuer: access, oidc, client_id.",
        .examples = "weir login\tat WEIR_URL\n"
                    "weir login --url https://weir.example.org:7070 --issuer https://login.example.org/realms/lab\tone of several issuers\n",
    },
    {
        .name = "logout",
        .group = WHO,
        .fn = weir_cmd_logout,
        .operands = "",
        .summary = "Forget the token of weir login, and have its issuer revoke it",
        .opts = weir_opts_logout,
        .help = "The token is forgotten here, and the issuer is asked to revoke it (RFC 7009), so that nobody can fetch others\n"
                "with a copy. What the issuer has signed already the broker takes until it expires.",
        .examples = "weir logout\tof WEIR_URL\n",
    },
    {
        .name = "token",
        .group = WHO,
        .fn = weir_cmd_token,
        .operands = "[list|create|revoke TOKEN...]",
        .summary = "Credentials for the broker: make, list, revoke",
        .opts = weir_opts_token,
        .help = "create prints the secret, once: the broker keeps its hash only. Whoever has it may do what its user may, or less:\n"
                "--role and --project take away from that, and it changes with the user. An admin makes tokens for all; others for\n"
                "themselves. revoke takes effect at once, for logs and events that are being followed too.",
        .examples = "weir token create --user ada --expires 30d\tfor ada\n"
                    "weir token create --role viewer --project vision --name dashboard\tthat can only look\n"
                    "weir token create --role agent --name host7\tfor an agent ('weir agent --token-file')\n"
                    "weir token revoke 0d96c3c8a1b2f4e5\tby its id\n",
        .operands_max = 1000,
    },
    {
        .name = "audit",
        .group = WHO,
        .fn = weir_cmd_audit,
        .operands = "",
        .summary = "Who changed what, when and from where, newest first",
        .opts = weir_opts_audit,
        .help = "Every change that was made through the API: jobs submitted and cancelled, nodes, leases, projects, users, tokens. It is\n"
                "written with the change itself, holds no secrets, and nothing in it is ever changed; 'retention' in weir.yaml says how\n"
                "long it is kept. For admins and finance.",
        .examples = "weir audit --since 7d\tthe last week\nweir audit -n 1000 --json\tfor programs\n",
        .operands_max = 0,
    },
    {
        .name = "policy",
        .group = WHO,
        .fn = weir_cmd_policy,
        .operands = "[list|show NAME|set NAME|rm NAME|test]",
        .summary = "Who may use which machines",
        .opts = weir_opts_policy,
        .help = "Policies allow or deny: all that is given of one must hold for it to take a job and a machine. They are asked\n"
                "in their order, then by name; the first that takes both decides. Where none does it is allowed.\n"
                "\n"
                "A job that is denied whatever the machine is refused when it is submitted. Machines that are denied are no\n"
                "candidates: 'weir submit --dry-run' and 'weir explain' say so. A change holds for what waits at once;\n"
                "what runs goes on.",
        .examples = "weir policy set no-spot --effect deny --project prod-* --market spot\tproduction is never reclaimed\n"
                    "weir policy set eu --effect deny --project health --region us-* --reason 'data stays here'\tnot overseas\n"
                    "weir policy set short --effect deny --user intern-* --duration-above 4h\trefused at submission\n"
                    "weir policy test --project prod-web --provider aws --spot\tmay it?\n",
        .exits = "77\ttest: it is denied\n",
        .operands_max = 2,
    },
    {
        .name = "serve",
        .group = HOUSE,
        .fn = weir_cmd_serve,
        .operands = "",
        .summary = "Run the broker, with an agent for this host",
        .opts = weir_opts_serve,
        .help = "Serves the REST API on 127.0.0.1:7070 and keeps everything in the data directory. Clients of the same "
                "user on\n"
                "this host need no token; others find one in the file token of the data directory. On an address that "
                "is not\n"
                "loopback it speaks https with an authority of its own, tls/ca.pem in the data directory.\n"
                "\n"
                "SIGTERM ends it. Tasks go on running without it, and are found again when it is back.",
        .examples = "weir serve\ta broker for this host\n"
                    "weir serve --declare-gpus A100:4\tto try weir on a host without GPUs\n"
                    "weir serve --listen :7070 --data /var/lib/weir\tfor others\n",
        .operands_max = 0,
    },
    {
        .name = "agent",
        .group = HOUSE,
        .fn = weir_cmd_agent,
        .operands = "",
        .summary = "Make this host a node of a broker elsewhere",
        .opts = weir_opts_agent,
        .help = "Joins the broker, runs its tasks as processes of this host and reports on them. All calls go from the "
                "agent\n"
                "to the broker. SIGTERM ends the agent; its tasks go on, and the next agent on the same directory "
                "takes them\n"
                "over.",
        .examples = "weir agent --broker https://weir.example.org:7070 --token-file /etc/weir/agent-token --ca "
                    "/etc/weir/ca.pem\ta node\n",
        .operands_max = 0,
    },
    {
        .name = "sim",
        .group = HOUSE,
        .fn = weir_cmd_sim,
        .operands = "",
        .summary = "Replay recorded work on other nodes and clouds, or a published benchmark",
        .opts = weir_opts_sim,
        .help =
            "With --jobs or --from-history and no --suite the work is replayed on the nodes and clouds that are named. With\n"
            "none of these the suites are listed, and the forms of work that are read. A suite runs on the files named, or\n"
            "on those of the same names under --data. The same input and seeds give the same bytes; the trace hash covers\n"
            "every decision.\n"
            "\n"
            "A replay and suite starburst have parameters, which --set, --sweep and --tune turn: a wrong name lists them.",
        .examples = "weir sim --jobs FILE --nodes 0,16,32 --cloud-price 2.50\tpure cloud, hybrid, more owned nodes\n"
                    "weir sim --jobs FILE --pools A100:8x16 --carbon FILE\twhat the owned nodes draw and emit\n"
                    "weir sim --suite starburst --jobs jobs.csv --nodes 64\tone size of the owned cluster\n"
                    "weir sim --suite cant-be-late --data DIR --json\tfor scripts\n"
                    "weir sim --suite starburst --data DIR --report out.html\ta page to show and to print\n"
                    "weir sim --suite starburst --data DIR --sweep \"delay_value=5,20,80\"\tcost against waiting\n"
                    "weir sim --suite starburst --data DIR --tune \"avg_wait_hours<=+2%\"\tthe cheapest setting that keeps this\n",
        .operands_max = 1, /* a suite's name without its option: told so */
    },
    {
        .name = "sandbox",
        .group = HOUSE,
        .fn = weir_cmd_sandbox,
        .operands = "reclaim NODE|fault WHAT",
        .summary = "Make the sandbox provider misbehave",
        .help = "reclaim takes a rented machine away, with notice, as a provider does with spot machines. fault makes "
                "the next\n"
                "launch fail: no_capacity, quota, refused, throttled, lost_reply, half_made, slow, boot_never; clear "
                "forgets\n"
                "the faults that wait.",
        .examples =
            "weir sandbox reclaim sandbox-1\ta node of 'weir nodes'\nweir sandbox fault no_capacity\tthe next launch\n",
        .operands_min = 2,
        .operands_max = 2,
    },
    {
        .name = "alerts",
        .group = HOUSE,
        .fn = weir_cmd_alerts,
        .operands = "[list|receivers|ack ID|silence ID|close ID|test RECEIVER]",
        .summary = "What is the matter, and who is told of it",
        .opts = weir_opts_alerts,
        .help = "Budgets at a threshold or about to run out, lost nodes, hosts that can start nothing, prices that moved,\n"
                "machines that no lease owns, tasks that wait too long, a ledger or a bill that does not add up.\n"
                "Receivers and what they are told of stand in the configuration, under alerts.\n"
                "\n"
                "'ack' says that somebody sees to it: receivers are not reminded. 'silence' tells nobody for a while.\n"
                "'close' says that it is over; what weir still sees fires again. 'test' sends a receiver a message\n"
                "and fails where it is not taken.",
        .examples = "weir alerts\twhat fires\n"
                    "weir alerts silence 12 --for 2h\tduring maintenance\n"
                    "weir alerts test ops\tdoes it arrive?\n",
        .operands_max = 2,
    },
    {
        .name = "doctor",
        .group = HOUSE,
        .fn = weir_cmd_doctor,
        .operands = "",
        .summary = "What is configured, what works, what to fix",
        .opts = weir_opts_doctor,
        .help =
            "Looks at the broker and at this host, and says for everything that is wrong what to do. Works without a\n"
            "broker too.",
        .exits = "1\tsomething is wrong\n",
        .operands_max = 0,
    },
    {
        .name = "completion",
        .group = HOUSE,
        .fn = weir_cmd_completion,
        .operands = "bash|zsh|fish",
        .summary = "Print a completion script for a shell",
        .examples = "source <(weir completion bash)\tbash\nweir completion fish | source\tfish\n",
        .operands_min = 1,
        .operands_max = 1,
    },
    {
        .name = "help",
        .group = HOUSE,
        .fn = weir_cmd_help,
        .operands = "[COMMAND]",
        .summary = "Tell about weir or a command",
        .opts = weir_opts_help,
        .operands_max = 1,
    },
    {
        .name = "version",
        .group = HOUSE,
        .fn = weir_cmd_version,
        .operands = "",
        .summary = "Print the version",
        .operands_max = 0,
    },
    {
        .name = "sandbox-machine",
        .raw = weir_sandbox_machine_main,
        .operands = "DIR",
        .summary = "The process that is a machine of the sandbox provider; started by it",
    },
    {0},
};
