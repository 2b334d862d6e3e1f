/* SPDX-License-Identifier: Apache-2.0 */

/* The table of all commands: everything that a person can read about them stands here. */

#include <limits.h>

#include "base/mem.h"
#include "command.h"

const char weir_environment_text[] =
    "WEIR_URL\tthe broker (default http://127.0.0.1:7070)\n"
    "WEIR_TOKEN\ttoken for the broker; not needed for one of your own on this host\n"
    "WEIR_CA\tfile with the authority to trust for https (tls/ca.pem of the broker)\n"
    "NO_COLOR\tset: no colours on terminals\n";

const struct weir_opt weir_common_options[] = {
    {"json", 0, WEIR_OPT_FLAG, .help = "print the result as JSON"},
    {"url", 0, WEIR_OPT_TEXT, .arg = "URL", .help = "the broker, over WEIR_URL"},
    {"help", 'h', WEIR_OPT_FLAG, .help = "this text"},
    {0},
};

#define JOB_EXITS                                                              \
    "the job's\tits exit code, or 128 + the signal that ended it\n"            \
    "124\tstopped at its max_duration\n"                                       \
    "137\tkilled for using more memory than it asked for\n"                    \
    "143\tcancelled\n"

#define SURROUNDINGS \
    "Commands and scripts run in the directory from which they are submitted, where the broker runs on\n" \
    "this host, and are given these variables of the caller: PATH, HOME, USER, LOGNAME, SHELL, LANG,\n" \
    "LC_ALL, TZ, VIRTUAL_ENV, CONDA_PREFIX, CONDA_DEFAULT_ENV, PYTHONPATH, LD_LIBRARY_PATH; others only\n" \
    "by --env NAME, so that no secret is stored by accident. --clean-env passes none. Jobs in a container\n" \
    "and job files in YAML are given only what they name."

#define JOBS "Jobs"
#define LOOK "Places and prices"
#define MONEY "Money"
#define HOUSE "Running weir"

const struct weir_command weir_commands[] = {
    {
        .name = "run",
        .group = JOBS,
        .fn = weir_cmd_run,
        .operands = "[--] COMMAND [ARGUMENT]...",
        .summary = "Run a command as a job, show its output, exit with its code",
        .opts = weir_opts_run,
        .help = "Submits the command, streams its output as it comes and exits as the command did. While the job\n"
                "waits, the reason is shown on a terminal. Standard input is not passed on.\n"
                "\n"
                "Ctrl-C asks whether to cancel the job, to leave it running (exit code 130), or to go on; pressed\n"
                "again it cancels. Where nobody can be asked, SIGINT and SIGTERM cancel the job. A terminal that\n"
                "goes away leaves the job running.\n"
                "\n"
                "With --array the output of the tasks comes in their order, each line headed by its task.\n\n" SURROUNDINGS,
        .examples = "weir run --gpus A100:2 -- python train.py\ttwo A100 of the own pool, or rented ones where that is better\n"
                    "weir run --gpus 1 --spot --max-cost 5 -- ./sweep.sh\tany GPU; rented only as spot, at most 5 USD\n"
                    "weir run --array 0-9 -- sh -c 'echo $WEIR_TASK_INDEX'\tten tasks\n",
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
        .help = "The output of all tasks of an array comes in their order, each line headed by its task.\n"
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
        .help = "Shows the stored records of every decision about the task, oldest first: the candidates with the terms\n"
                "of their expected cost, what was rejected and why, and the margin. A waiting task is looked at anew.",
        .examples = "weir explain 12\tthe job's first task\nweir explain --last 12_7\tthe latest decision about task 7\n",
        .operands_min = 1,
        .operands_max = 1,
    },
    {0},
};
