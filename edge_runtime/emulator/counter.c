/* Counts the instructions that a program executes under qemu-user, by class: a TCG plug-in, for plug-in API 1
 * (QEMU 6.0 to 8.2).
 *
 * A guest marks a moment with getpriority(77, n), which the kernel refuses without harm. At each mark one JSON line
 * with the counts so far goes to the file given as out=PATH. The declarations below are the part of qemu-plugin.h
 * that is used here, so that QEMU's headers need not be installed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
typedef struct {
    const char *target_arch; /* the first field; no other is read */
} qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated_fn)(plugin_id, struct qemu_plugin_tb *);
typedef void (*syscall_fn)(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t);
enum { NO_FLAGS = 0, INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated_fn);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_fn);

EXPORT int qemu_plugin_version = 1;

enum { MARK = 77, GETPRIORITY_AARCH64 = 141, GETPRIORITY_X86_64 = 140, MAX_PATTERNS = 4 };

/* An A64 instruction word belongs to a class if, for one of the class's patterns, word & mask == value.
 * Encodings: Arm Architecture Reference Manual for A-profile, C4.1 "A64 instruction set encoding". */
typedef struct {
    const char *name;
    struct {
        uint32_t mask, value;
    } patterns[MAX_PATTERNS];
} instruction_class;

static const instruction_class classes[] = {
    {"simd_fp", {{0x0E000000, 0x0E000000}}},                         /* SIMD and floating-point data processing */
    {"load_store", {{0x0A000000, 0x08000000}}},                      /* loads and stores, SIMD ones included */
    {"fmla", {{0xBF20FC00, 0x0E20CC00}, {0xBF80F400, 0x0F801000}}},  /* FMLA: vector; by element */
    {"smlal", {{0x9F20FC00, 0x0E208000}, {0x9F00F400, 0x0F002000}, {0x9F20FC00, 0x0E20C000}}}, /* S/UMLAL, S/UMULL */
    {"dot", {{0x9F20FC00, 0x0E009400}, {0x9F00F400, 0x0F00E000}}},   /* SDOT, UDOT: vector; by element */
    {"mmla", {{0xDFE0FC00, 0x4E80A400}}},                            /* SMMLA, UMMLA */
};
enum { CLASSES = sizeof classes / sizeof classes[0] };

static uint64_t instructions, counts[CLASSES];
static int is_aarch64;
static FILE *out;

static int belongs(uint32_t word, const instruction_class *class)
{
    for (int i = 0; i < MAX_PATTERNS && class->patterns[i].mask; i++)
        if ((word & class->patterns[i].mask) == class->patterns[i].value)
            return 1;
    return 0;
}

static void add(struct qemu_plugin_tb *block, uint64_t *counter, uint64_t amount)
{
    if (amount)
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, counter, amount);
}

/* Called once for each block that QEMU translates; the sums are then added whenever the block executes. */
static void on_translated(plugin_id id, struct qemu_plugin_tb *block)
{
    size_t n = qemu_plugin_tb_n_insns(block);
    uint64_t found[CLASSES] = {0};

    (void)id;
    for (size_t i = 0; is_aarch64 && i < n; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        for (int c = 0; c < CLASSES; c++)
            found[c] += (uint64_t)belongs(word, &classes[c]);
    }
    add(block, &instructions, n);
    for (int c = 0; c < CLASSES; c++)
        add(block, &counts[c], found[c]);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t which, uint64_t who, uint64_t a, uint64_t b,
                       uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    if (number != (is_aarch64 ? GETPRIORITY_AARCH64 : GETPRIORITY_X86_64) || which != MARK)
        return;
    fprintf(out, "{\"mark\": %u, \"instructions\": %llu", (unsigned)who, (unsigned long long)instructions);
    for (int i = 0; is_aarch64 && i < CLASSES; i++)
        fprintf(out, ", \"%s\": %llu", classes[i].name, (unsigned long long)counts[i]);
    fputs("}\n", out);
    fflush(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const qemu_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    is_aarch64 = !strcmp(info->target_arch, "aarch64");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
