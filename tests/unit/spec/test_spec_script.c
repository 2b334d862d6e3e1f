/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts with #SBATCH lines: how options combine, and the exact words of every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec.h"

/* Puts each line of options behind #SBATCH, and a command below. */
static struct weir_spec *parse(const char *options,
                               struct weir_gpu_table *gpus,
                               struct weir_err *err)
{
    struct weir_str text = WEIR_STR_INIT(1 << 20);
    struct weir_spec *s = NULL;
    struct weir_sv rest = weir_sv_of(options);
    weir_str_adds(&text, "#!/bin/sh\n");
    while (rest.p != NULL) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        weir_str_addf(&text, "#SBATCH %.*s\n", WEIR_SV_ARG(line));
    }
    weir_str_adds(&text, "true\n");
    (void)weir_spec_parse(weir_str_sv(&text), "j.sh", gpus, &s, err);
    weir_str_release(&text);
    return s;
}

static void bad_options_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        const char *want;
    } rows[] = {
        {"--gres=gpu:a100:x", "j.sh:2:9: --gres: 'x' is not a whole number"},
        {"--gres=gpu:1,gpu:v100:1",
         "j.sh:2:9: --gres: GPUs of several models at once are not supported"},
        {"--gres=shard:4", "j.sh:2:9: --gres: 'shard:4': parts of a GPU are not supported; ask for "
                           "a whole one, gpu:1"},
        {"--gpus=a100:1,v100:1",
         "j.sh:2:9: --gpus: GPUs of several models at once are not supported"},
        {"--gpus=70000", "j.sh: 65535 GPUs per node; a node has at most 32, ask for more nodes (-N)"},
        {"--gpus=3 --nodes=2", "j.sh: --gpus: 3 GPUs do not spread evenly over 2 nodes"},
        {"--gres=gpu:2 --gpus=4",
         "j.sh: --gres, --gpus and the other GPU options do not agree on the GPUs per node"},
        {"--gres=gpu:a100:2 --gpus=v100:2",
         "j.sh: --gres, --gpus and the other GPU options do not agree on the GPUs per node"},
        {"--gres=gpu:64", "j.sh: 64 GPUs per node; a node has at most 32, ask for more nodes (-N)"},
        {"--gpus-per-socket=1",
         "j.sh:2:9: --gpus-per-socket: GPUs are not counted by socket; use --gpus-per-node"},
        {"-N 0", "j.sh:2:9: -N: 0 is not between 1 and 256"},
        {"-N", "j.sh:2:9: -N: needs a value"},
        {"--nodes", "j.sh:2:9: --nodes: needs a value"},
        {"--requeue=yes", "j.sh:2:9: --requeue: takes no value"},
        {"--mem=1x", "j.sh:2:9: --mem: '1x' is not a size such as 512M or 64G"},
        {"--mem=1G --mem-per-cpu=1G",
         "j.sh: --mem, --mem-per-cpu and --mem-per-gpu exclude each other"},
        {"--mem-per-gpu=1G", "j.sh: --mem-per-gpu needs GPUs; add --gres=gpu:1"},
        {"--time=soon",
         "j.sh:2:9: --time: 'soon' is not a Slurm time such as 90, 10:00, 01:30:00 or 2-12:00:00"},
        {"--time=UNLIMITED", "j.sh:2:9: --time: a run needs a limit, because money is held for it; "
                             "write for example 7-00:00:00"},
        {"--array=1-x", "j.sh:2:9: --array: array range '1-x': 'x' is not a whole number"},
        {"--signal=BANG@10", "j.sh:2:9: --signal: 'BANG@10' is not a signal such as USR1@120"},
        {"--begin=now+1hour",
         "j.sh:2:9: --begin: a later start is not supported; submit the job when it may start"},
        {"-d afterok:1", "j.sh:2:9: -d: dependencies are not supported; submit the job when the "
                         "others have ended (weir wait JOB && weir submit ...)"},
        {"--deadline=teatime", "j.sh:2:9: --deadline: 'teatime' is neither a time such as "
                               "2026-11-22T19:00:00 nor now+2hours"},
        {"--constraint=intel", "j.sh: --constraint 'intel' is not a choice of GPU models; name the "
                               "GPU in --gres=gpu:MODEL:COUNT"},
        {"--gres=gpu:1 -C 'a100&ib'", "j.sh: --constraint 'a100&ib' is not a choice of GPU models; "
                                      "name the GPU in --gres=gpu:MODEL:COUNT"},
        {"--export=HOME", "j.sh:2:9: --export: the value of HOME is not taken from the submitting "
                          "shell; write HOME=value"},
        {"--input=data.txt",
         "j.sh:2:9: --input: standard input is empty; redirect it in the script: program < file"},
        {"--container-image=/images/a.sqsh", "j.sh:2:9: --container-image: an image file is not "
                                             "supported; name an image of a registry"},
        {"-H", "j.sh:2:9: -H: holding a job back is not supported; submit it when it may start"},
        {"hetjob", "j.sh:2:9: heterogeneous jobs are not supported; submit each part by itself"},
        {"gpu:1", "j.sh:2:9: 'gpu:1' is not an option; options begin with - or --"},
        {"--job-nam=x\n--jobname=x",
         "j.sh:3:9: unknown option '--jobname'; did you mean '--job-name'?"},
        {"--mem-per=1", "j.sh:2:9: option '--mem-per' could be one of several; write it out"},
        {"-Z", "j.sh:2:9: unknown option '-Z'; see docs/guide/job-file.md for the options"},
        {"--comment=\"a", "j.sh:2:9: a quote (\") is not closed"},
        {"--output='a\tb'", "j.sh: stdout must be one line of text"},
        {"--account='a b'",
         "j.sh: project 'a b' may have letters, digits and . _ - / + : @ = only"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_err err = {{0}};
        struct weir_spec *s = parse(rows[i].options, gpus, &err);
        assert_string_equal(err.text, rows[i].want);
        assert_null(s);
        weir_gpu_table_free(gpus);
    }
}

static void options_combine_as_in_slurm(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        uint32_t nodes;
        uint32_t cpu_milli;
        uint64_t mem_mib;
        const char *gpu; /* NULL: any model */
        uint16_t gpus;
    } rows[] = {
        {"--gres=gpu:1", 1, 0, 0, NULL, 1},
        {"--gres gpu", 1, 0, 0, NULL, 1},
        {"--gres=gpu:v100", 1, 0, 0, "V100", 1},
        {"--gres=gres/gpu:tesla_t4:2", 1, 0, 0, "T4", 2},
        {"--gres=none", 1, 1000, 0, NULL, 0},
        {"--gpus=0", 1, 1000, 0, NULL, 0},
        {"-G8 -N2", 2, 0, 0, NULL, 4},
        {"--gpus-per-node=h100:4 --gpus=8 --nodes=2", 2, 0, 0, "H100", 4},
        {"-n 4 --gpus-per-task=1 -c 6", 1, 24000, 0, NULL, 4},
        {"-n 16 --ntasks-per-node=8", 2, 8000, 0, NULL, 0},
        {"-N 2 --ntasks-per-node=8 -c2", 2, 16000, 0, NULL, 0},
        {"-n 5 -N 2", 2, 3000, 0, NULL, 0},
        {"--cpus-per-gpu=4 --gres=gpu:2", 1, 8000, 0, NULL, 2},
        {"-c 4 --mem-per-cpu=2G", 1, 4000, 8192, NULL, 0},
        {"--gres=gpu:2 --mem-per-gpu=1T", 1, 0, 2 << 20, NULL, 2},
        {"--mem=100", 1, 1000, 100, NULL, 0},
        {"--mem=1K", 1, 1000, 1, NULL, 0},
        {"--mem=1G\n--mem=2G", 1, 1000, 2048, NULL, 0},
        {"--mincpus=12 -c 4", 1, 12000, 0, NULL, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_err err = {{0}};
        struct weir_spec *s = parse(rows[i].options, gpus, &err);
        assert_string_equal(err.text, "");
        const struct weir_request *q = &s->request;
        assert_int_equal(q->nodes, rows[i].nodes);
        assert_int_equal(q->cpu_milli, rows[i].cpu_milli);
        assert_int_equal(q->mem_mib, rows[i].mem_mib);
        assert_int_equal(q->alternatives, rows[i].gpus > 0 ? 1 : 0);
        assert_int_equal(q->alternative[0].count, rows[i].gpus);
        if (rows[i].gpu != NULL) {
            assert_string_equal(weir_gpu_table_get(gpus, q->alternative[0].model)->name,
                                rows[i].gpu);
        } else if (rows[i].gpus > 0) {
            assert_int_equal(q->alternative[0].model, WEIR_GPU_MODEL_ANY);
        }
        weir_spec_free(s);
        weir_gpu_table_free(gpus);
    }
}

static void texts_and_times_are_taken_over(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_err err = {{0}};
    struct weir_spec *s =
        parse("-Jmy\\ job --output='a b/%x-%j.out' -e \"c\\\"d\" --time=10 # said by the manual\n"
              "--signal=R:SIGUSR2@90 --deadline=2026-12-24T18:00:00 --nice=200\n"
              "-vQ --export=ALL,A=1,B=x=y --export A=2 --comment='two words' -D /data",
              gpus, &err);
    assert_string_equal(err.text, "");
    assert_string_equal(s->name, "my job");
    assert_string_equal(s->stdout_path, "a b/%x-%j.out");
    assert_string_equal(s->stderr_path, "c\"d");
    assert_int_equal(s->request.max_duration.us, 10 * WEIR_US_PER_MIN);
    assert_int_equal(s->checkpoint_signal, 12);
    assert_int_equal(s->request.checkpoint_grace.us, 90 * WEIR_US_PER_S);
    assert_int_equal(s->deadline.us, INT64_C(1798135200) * WEIR_US_PER_S);
    assert_int_equal(s->priority, 30);
    assert_int_equal(s->n_envs, 2);
    assert_string_equal(s->envs[0].value, "2");
    assert_string_equal(s->envs[1].value, "x=y");
    assert_string_equal(s->workdir, "/data");
    assert_string_equal(s->tags[0].value, "two words");
    assert_int_equal(s->origin, WEIR_SPEC_SLURM);
    assert_int_equal(s->n_warnings, 2);
    assert_string_equal(s->warning[0],
                        "line 3: --deadline: the time is read as UTC unless it has an offset");
    weir_spec_free(s);
    weir_gpu_table_free(gpus);
}

static void what_is_no_script_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
        const char *warning;
    } rows[] = {
        {"#!/bin/sh\n# nothing\n", "j.sh: the script has no command, only comments", NULL},
        {"#!/bin/sh\r\ntrue\r\n",
         "j.sh: the script has DOS line ends, which no shell reads; convert it with dos2unix",
         NULL},
        {"#!/bin/sh\n#SBATCH --bad-option\n",
         "j.sh:2:9: unknown option '--bad-option'; see docs/guide/job-file.md for the options",
         NULL},
        {"#!/bin/sh\necho \x80\n", "j.sh:2:6: byte 0x80 is not UTF-8 text; is this a job file?",
         NULL},
        {"#SBATCH -c1\ntrue\n", "", "the script does not begin with #!; it is run by /bin/sh"},
        {"#!/bin/sh\ntrue\n#SBATCH -c bad\n", "",
         "line 3: #SBATCH after the first command is ignored, as Slurm does"},
        {"#!/bin/sh\nmpirun x && srun y\n", "",
         "the script calls srun, which is there only where Slurm is; call the program itself"},
        {"#!/bin/sh\n##SBATCH -Z\n #SBATCH -Z\n#SBATCHX\n#SBATCH\ntrue # srun\n", "", NULL},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_err err = {{0}};
        struct weir_spec *s = NULL;
        (void)weir_spec_parse(weir_sv_of(rows[i].text), "j.sh", gpus, &s, &err);
        assert_string_equal(err.text, rows[i].error);
        if (s != NULL) {
            assert_int_equal(s->n_warnings, rows[i].warning != NULL);
            if (rows[i].warning != NULL) {
                assert_string_equal(s->warning[0], rows[i].warning);
            }
            assert_string_equal(s->run, rows[i].text);
        }
        weir_spec_free(s);
        weir_gpu_table_free(gpus);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused_by_name),
        cmocka_unit_test(options_combine_as_in_slurm),
        cmocka_unit_test(texts_and_times_are_taken_over),
        cmocka_unit_test(what_is_no_script_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
