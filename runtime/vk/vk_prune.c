// Leaves out of a shader's functions what its constants make dead: branches never taken, functions
// never called. A parameter that gets one constant from every call that is left counts as that
// constant, so a switch over the function to compute shrinks to its one case before the driver
// inlines it, which lavapipe does once per element of a tile.
//
// Works on what glslang writes: structured control flow, variables instead of phis but for && and
// ||. What is not known stays as it is.
#include "vk/vk_spirv.h"

#include <assert.h>
#include <string.h>

enum { LIVE = 1, NEEDED = 2, CONTINUE = 4 }; // NEEDED: named by a merge instruction that stays

struct prune {
    struct spirv_fact *facts;
    const uint32_t *words;
    size_t functions, count; // where the functions begin and end
    bool changed;
};

static void mark(struct prune *prune, uint32_t id, uint32_t flags)
{
    struct spirv_fact *fact = &prune->facts[id];
    prune->changed = prune->changed || (fact->flags & flags) != flags;
    fact->flags |= flags;
}

static bool is_type(uint32_t kind)
{
    return kind == FACT_TYPE || kind == FACT_BOOL_TYPE || kind == FACT_WORD_TYPE;
}

// ---- what is live -------------------------------------------------------------------------------

// Functions and labels are found by id from here on.
static void index_functions(struct prune *prune)
{
    for (size_t at = prune->functions; at < prune->count; at += length_of(&prune->words[at])) {
        const uint32_t *i = &prune->words[at];
        if (opcode_of(i) == OP_FUNCTION)
            prune->facts[i[2]] = (struct spirv_fact){FACT_FUNCTION, (uint32_t)at, 0};
        else if (opcode_of(i) == OP_FUNCTION_PARAMETER)
            prune->facts[i[2]].kind = FACT_UNCALLED;
        else if (opcode_of(i) == OP_LABEL)
            prune->facts[i[1]].kind = FACT_LABEL;
    }
}

// A parameter is what all calls so far agree on.
static void join(struct prune *prune, uint32_t parameter, uint32_t argument)
{
    struct spirv_fact *to = &prune->facts[parameter];
    const struct spirv_fact *from = &prune->facts[argument];
    struct spirv_fact joined = {FACT_NONE, 0, to->flags};
    if (from->kind == FACT_WORD &&
        (to->kind == FACT_UNCALLED || (to->kind == FACT_WORD && to->value == from->value)))
        joined = (struct spirv_fact){FACT_WORD, from->value, to->flags};
    prune->changed = prune->changed || joined.kind != to->kind;
    *to = joined;
}

static void call(struct prune *prune, const uint32_t *at)
{
    const struct spirv_fact *function = &prune->facts[at[3]];
    assert(function->kind == FACT_FUNCTION);
    const uint32_t *next = &prune->words[function->value];
    mark(prune, at[3], LIVE);
    for (uint32_t a = 4; a < length_of(at); a++) {
        next += length_of(next);
        assert(opcode_of(next) == OP_FUNCTION_PARAMETER);
        join(prune, next[2], at[a]);
    }
}

// The one target of a conditional branch or switch, 0 where that is not known.
static uint32_t target_of(const struct spirv_fact *facts, const uint32_t *at)
{
    const struct spirv_fact *selector = &facts[at[1]];
    if (selector->kind != FACT_WORD)
        return 0;
    if (opcode_of(at) == OP_BRANCH_CONDITIONAL)
        return at[selector->value != 0 ? 2 : 3];
    for (uint32_t i = 3; i + 1 < length_of(at); i += 2)
        if (at[i] == selector->value)
            return at[i + 1];
    return at[2];
}

// true: the block still goes to the label.
static bool leads(const struct spirv_fact *facts, const uint32_t *terminator, uint32_t label)
{
    const uint32_t opcode = opcode_of(terminator);
    if (opcode != OP_BRANCH_CONDITIONAL && opcode != OP_SWITCH)
        return true;
    const uint32_t target = target_of(facts, terminator);
    return target == 0 || target == label;
}

static const uint32_t *terminator_of(const uint32_t *function, uint32_t block)
{
    const uint32_t *at = function, *last = NULL;
    while (opcode_of(at) != OP_LABEL || at[1] != block)
        at += length_of(at);
    do {
        last = at;
        at += length_of(at);
    } while (opcode_of(at) != OP_LABEL && opcode_of(at) != OP_FUNCTION_END);
    return last;
}

static void mark_targets(struct prune *prune, const uint32_t *at, uint32_t merge)
{
    const bool is_switch = opcode_of(at) == OP_SWITCH;
    const uint32_t target = target_of(prune->facts, at);
    if (merge != 0 && (target == 0 || is_switch))
        mark(prune, merge, NEEDED);
    if (target != 0) {
        mark(prune, target, LIVE);
        return;
    }
    mark(prune, at[2], LIVE);
    if (!is_switch)
        mark(prune, at[3], LIVE);
    for (uint32_t i = 4; is_switch && i < length_of(at); i += 2)
        mark(prune, at[i], LIVE);
}

// false && x and true || x are known whatever x is.
static bool is_decided(const struct prune *prune, const uint32_t *at, uint32_t *value)
{
    const uint32_t opcode = opcode_of(at);
    *value = opcode == OP_LOGICAL_OR;
    for (uint32_t i = 3; i < length_of(at); i++)
        if ((opcode == OP_LOGICAL_OR || opcode == OP_LOGICAL_AND) &&
            prune->facts[at[i]].kind == FACT_WORD && prune->facts[at[i]].value == *value)
            return true;
    return false;
}

// A result in a function follows from constants as one outside does, as far as parameters go.
static void learn_result(struct prune *prune, const uint32_t *at)
{
    const uint32_t length = length_of(at);
    if (length < 4 || length - 3 > SPIRV_OPERANDS_MAX ||
        (prune->facts[at[1]].kind != FACT_WORD_TYPE && prune->facts[at[1]].kind != FACT_BOOL_TYPE))
        return;
    uint32_t operands[SPIRV_OPERANDS_MAX] = {0}, value = 0;
    bool known = espy_vk_spirv_folds(opcode_of(at));
    for (uint32_t i = 3; known && i < length; i++) {
        known = prune->facts[at[i]].kind == FACT_WORD;
        operands[i - 3] = prune->facts[at[i]].value;
    }
    known = (known && espy_vk_spirv_fold(opcode_of(at), operands, &value)) ||
            is_decided(prune, at, &value);
    prune->facts[at[2]].kind = known ? FACT_WORD : FACT_NONE;
    prune->facts[at[2]].value = value;
}

// Known where every edge that is left brings the same.
static void learn_phi(struct prune *prune, const uint32_t *function, uint32_t block,
                      const uint32_t *at)
{
    struct spirv_fact *result = &prune->facts[at[2]];
    uint32_t kind = FACT_UNCALLED, value = 0;
    for (uint32_t i = 3; i + 1 < length_of(at); i += 2) {
        const struct spirv_fact *from = &prune->facts[at[i]];
        if ((prune->facts[at[i + 1]].flags & LIVE) == 0 ||
            !leads(prune->facts, terminator_of(function, at[i + 1]), block))
            continue;
        const bool same = from->kind == FACT_WORD &&
                          (kind == FACT_UNCALLED || (kind == FACT_WORD && from->value == value));
        kind = same ? FACT_WORD : FACT_NONE;
        value = from->value;
    }
    result->kind = kind == FACT_WORD ? FACT_WORD : FACT_NONE;
    result->value = value;
}

// One function, forwards: most blocks stand after those that lead to them, and passes are repeated.
static void walk_function(struct prune *prune, size_t at)
{
    const uint32_t *function = &prune->words[at];
    uint32_t block = 0, merge = 0;
    for (; opcode_of(&prune->words[at]) != OP_FUNCTION_END; at += length_of(&prune->words[at])) {
        const uint32_t *i = &prune->words[at];
        if (opcode_of(i) == OP_LABEL) {
            if (block == 0)
                mark(prune, i[1], LIVE);
            block = i[1];
            merge = 0;
        }
        if (block == 0 || (prune->facts[block].flags & LIVE) == 0)
            continue;
        switch (opcode_of(i)) {
        case OP_SELECTION_MERGE:
            merge = i[1];
            break;
        case OP_LOOP_MERGE:
            mark(prune, i[1], NEEDED);
            mark(prune, i[2], NEEDED | CONTINUE);
            prune->facts[i[2]].value = block;
            break;
        case OP_BRANCH:
            mark(prune, i[1], LIVE);
            break;
        case OP_BRANCH_CONDITIONAL:
        case OP_SWITCH:
            mark_targets(prune, i, merge);
            break;
        case OP_FUNCTION_CALL:
            call(prune, i);
            break;
        case OP_PHI:
            learn_phi(prune, function, block, i);
            break;
        default:
            learn_result(prune, i);
        }
    }
}

// Decorations of what goes must go too.
static void mark_gone(struct prune *prune)
{
    bool live = false, called = false;
    for (size_t at = prune->functions; at < prune->count; at += length_of(&prune->words[at])) {
        const uint32_t *i = &prune->words[at];
        if (opcode_of(i) == OP_FUNCTION)
            live = called = (prune->facts[i[2]].flags & LIVE) != 0;
        else if (opcode_of(i) == OP_LABEL)
            live = called && (prune->facts[i[1]].flags & LIVE) != 0;
        if (!live && length_of(i) >= 3 && is_type(prune->facts[i[1]].kind) &&
            prune->facts[i[2]].kind != FACT_FUNCTION)
            prune->facts[i[2]].kind = FACT_GONE;
    }
}

void espy_vk_prune_mark(struct spirv_fact *facts, const uint32_t *words, size_t functions,
                        size_t count)
{
    struct prune prune = {facts, words, functions, count, true};
    index_functions(&prune);
    for (size_t at = SPIRV_HEADER_WORDS; at < functions; at += length_of(&words[at]))
        if (opcode_of(&words[at]) == OP_ENTRY_POINT)
            mark(&prune, words[at + 2], LIVE);
    while (prune.changed) {
        prune.changed = false;
        for (size_t at = functions; at < count; at += length_of(&words[at]))
            if (opcode_of(&words[at]) == OP_FUNCTION && (facts[words[at + 2]].flags & LIVE) != 0)
                walk_function(&prune, at);
    }
    mark_gone(&prune);
}

// ---- what is left -------------------------------------------------------------------------------

// Without the edges that are gone. The block is live, so at least one is left.
static uint32_t write_phi(const struct spirv_fact *facts, const uint32_t *function, uint32_t block,
                          const uint32_t *at, uint32_t *to)
{
    uint32_t length = 3;
    memcpy(to, at, 3 * sizeof(*at));
    for (uint32_t i = 3; i + 1 < length_of(at); i += 2) {
        if ((facts[at[i + 1]].flags & LIVE) == 0 ||
            !leads(facts, terminator_of(function, at[i + 1]), block))
            continue;
        to[length++] = at[i];
        to[length++] = at[i + 1];
    }
    to[0] = length << 16 | OP_PHI;
    return length;
}

// A block that nothing goes to and a merge instruction names.
static uint32_t write_empty(const struct spirv_fact *facts, uint32_t label, uint32_t *to)
{
    to[0] = 2U << 16 | OP_LABEL;
    to[1] = label;
    if ((facts[label].flags & CONTINUE) == 0) {
        to[2] = 1U << 16 | OP_UNREACHABLE;
        return 3;
    }
    to[2] = 2U << 16 | OP_BRANCH;
    to[3] = facts[label].value;
    return 4;
}

// An `if` that is decided loses its merge instruction: what leaves it early leaves a loop or switch
// around it, which stays. A switch stays, with one target, because its cases may break out of it.
static uint32_t write_live(const struct spirv_fact *facts, const uint32_t *at, uint32_t *to)
{
    const uint32_t length = length_of(at), opcode = opcode_of(at);
    const uint32_t *next = at + length;
    if (opcode == OP_SELECTION_MERGE && opcode_of(next) == OP_BRANCH_CONDITIONAL &&
        target_of(facts, next) != 0)
        return 0;
    if (opcode == OP_BRANCH_CONDITIONAL && target_of(facts, at) != 0) {
        to[0] = 2U << 16 | OP_BRANCH;
        to[1] = target_of(facts, at);
        return 2;
    }
    memcpy(to, at, length * sizeof(*at));
    if (opcode == OP_SWITCH && target_of(facts, at) != 0) {
        to[0] = 3U << 16 | OP_SWITCH;
        to[2] = target_of(facts, at);
        return 3;
    }
    return length;
}

size_t espy_vk_prune_write(const struct spirv_fact *facts, const uint32_t *words, size_t functions,
                           size_t count, uint32_t *to)
{
    const uint32_t *function = NULL;
    size_t written = 0;
    uint32_t block = 0;
    bool live = false, called = false;
    for (size_t at = functions; at < count; at += length_of(&words[at])) {
        const uint32_t *i = &words[at];
        if (opcode_of(i) == OP_FUNCTION) {
            live = called = (facts[i[2]].flags & LIVE) != 0;
            function = i;
        } else if (opcode_of(i) == OP_FUNCTION_END) {
            live = called;
        } else if (opcode_of(i) == OP_LABEL) {
            block = i[1];
            live = called && (facts[block].flags & LIVE) != 0;
            if (called && !live && (facts[block].flags & NEEDED) != 0)
                written += write_empty(facts, block, &to[written]);
        }
        if (live && opcode_of(i) == OP_PHI)
            written += write_phi(facts, function, block, i, &to[written]);
        else if (live)
            written += write_live(facts, i, &to[written]);
    }
    return written;
}
