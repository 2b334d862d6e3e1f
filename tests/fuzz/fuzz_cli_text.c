/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines and what is shown: the first line of the input is a command line, its words parted by
 * 0x1f; the rest is text from a broker. Whatever is shown holds no control characters, and a table's lines
 * are as wide as the terminal at most where its columns can give way. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cli/options.h"
#include "cli/output.h"

enum { WORDS_MAX = 64 };

static const char *const choices[] = {"table", "json", NULL};

static const struct weir_opt opts[] = {
    {"flag", 'f', WEIR_OPT_FLAG, .help = ""},
    {"text", 't', WEIR_OPT_TEXT, .many = true, .arg = "TEXT", .help = ""},
    {"count", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "", .min = 1, .max = 1000},
    {"span", 's', WEIR_OPT_DURATION, .arg = "TIME", .help = ""},
    {"money", 'm', WEIR_OPT_MONEY, .arg = "AMOUNT", .help = ""},
    {"at", 0, WEIR_OPT_TIME, .arg = "TIME", .help = ""},
    {"format", 0, WEIR_OPT_CHOICE, .arg = "FORMAT", .help = "", .choices = choices},
    {0},
};
static const struct weir_opt common[] = {{"json", 0, WEIR_OPT_FLAG, .help = ""}, {0}};

static void check_args(struct weir_sv line, enum weir_opt_order order)
{
    char *word[WORDS_MAX];
    size_t n = 0;
    while (line.p != NULL && n < WORDS_MAX) {
        struct weir_sv w = weir_sv_cut(&line, 0x1f);
        word[n++] = weir_strndup(w.p != NULL ? w.p : "", w.n);
    }
    struct weir_args a;
    struct weir_err err = {""};
    int r = weir_args_parse(&a, opts, common, n, word, order, &err);
    WEIR_ASSERT((r == 0) == (err.text[0] == '\0'));
    WEIR_ASSERT(a.n_operands <= n);
    if (r == 0) {
        uint64_t count = weir_args_count(&a, "count", 1);
        WEIR_ASSERT(count >= 1 && count <= 1000);
        WEIR_ASSERT(weir_args_duration(&a, "span", (struct weir_dur){0}).us >= 0);
        const char *format = weir_args_text(&a, "format");
        WEIR_ASSERT(format == NULL || weir_streq(format, "table") || weir_streq(format, "json"));
        size_t texts = 0;
        while (weir_args_nth(&a, "text", texts) != NULL) {
            texts++;
        }
        WEIR_ASSERT((texts > 0) == weir_args_has(&a, "text"));
    }
    weir_args_release(&a);
    while (n > 0) {
        free(word[--n]);
    }
}

static void check_table(struct weir_sv text)
{
    static const struct weir_column column[] = {
        {"A", .shrink = true}, {"LONG TITLE", .right = true, .shrink = true}, {"B"}};
    struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t cells = 0;
    while (text.n > 0 && cells < 300) {
        struct weir_sv w = weir_sv_cut(&text, '\n');
        char *z = weir_strndup(w.p != NULL ? w.p : "", w.n);
        weir_table_cell(t, z);
        free(z);
        cells++;
    }
    while (cells++ % WEIR_ARRAY_LEN(column) != 0) {
        weir_table_cell(t, NULL);
    }
    struct weir_term term = {.width = 40};
    struct weir_str out = WEIR_STR_INIT(16 << 20);
    weir_table_render(t, &term, &out);
    WEIR_ASSERT(!out.overflowed && weir_utf8_is_text(weir_str_sv(&out)));
    weir_str_release(&out);
    weir_table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_sv rest = {(const char *)data, size};
    struct weir_sv line = weir_sv_cut(&rest, '\n');
    check_args(line, WEIR_OPT_PERMUTE);
    check_args(line, WEIR_OPT_OPERAND_ENDS);
    struct weir_str clean = WEIR_STR_INIT(1 << 20);
    weir_out_clean(&clean, (struct weir_sv){(const char *)data, size}, true);
    WEIR_ASSERT(weir_utf8_is_text(weir_str_sv(&clean)));
    weir_str_release(&clean);
    check_table(rest);
    return 0;
}
