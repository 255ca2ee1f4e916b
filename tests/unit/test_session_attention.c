// Goal: a session that is asked for maps of attention sites delivers what the model computes there,
// and one that is not plans as if there were no sites; of rows that are asked for only these are
// made. Method: graphs of an Attention, a gate and a Softmax, whose weights and factors are worked
// out here.
#include "test_session_fixture.h"

#include <math.h>

enum { TOKENS = 3, WIDTH = 2, HEADS = 2, MANY = 70, DEPTH = 8 };

static void add_site(struct graph *graph, const char *name, const char *kind, uint32_t node)
{
    struct graph_site *sites =
        espy_arena_array(&graph->arena, graph->site_count + 1u, sizeof(*sites));
    cr_assert(sites != NULL);
    for (uint32_t i = 0; i < graph->site_count; i++)
        sites[i] = graph->sites[i];
    sites[graph->site_count] = (struct graph_site){.name = name, .kind = kind, .node = node};
    graph->sites = sites;
    graph->site_count++;
}

// y = x * sigmoid(attention(x, x, x)), where the scale of Attention is 1.
static void make_attention(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 1, TOKENS, WIDTH));
    const uint32_t mixed = MAKE(graph, "Attention", "attention", x, x, x);
    make_number(graph, "scale", 1);
    const uint32_t gate = MAKE(graph, "Sigmoid", "gate", mixed);
    make_output(graph, MAKE(graph, "Mul", "y", x, gate));
    make_output(graph, mixed);
    add_site(graph, "blocks.0/attn", "softmax", 0);
    graph->sites[0].heads = 1;
    graph->sites[0].keys.rows = 1;
    graph->sites[0].keys.columns = TOKENS;
    add_site(graph, "blocks.0/gate", "spatial_gate", 1);
}

static const float given[TOKENS][WIDTH] = {{1, 0}, {0, 2}, {-1, 1}};

static void softmax_of_products(double weights[TOKENS][TOKENS])
{
    for (int q = 0; q < TOKENS; q++) {
        double sum = 0;
        for (int k = 0; k < TOKENS; k++) {
            double product = 0;
            for (int i = 0; i < WIDTH; i++)
                product += (double)given[q][i] * (double)given[k][i];
            weights[q][k] = exp(product);
            sum += weights[q][k];
        }
        for (int k = 0; k < TOKENS; k++)
            weights[q][k] /= sum;
    }
}

static void expect_maps(const struct espy_tensor *attention, const struct espy_tensor *gate)
{
    double weights[TOKENS][TOKENS];
    softmax_of_products(weights);
    cr_assert(attention->rank == 4 && attention->dims[2] == TOKENS && attention->dims[3] == TOKENS);
    cr_assert(gate->rank == 4 && gate->dims[2] == TOKENS && gate->dims[3] == WIDTH);
    for (int q = 0; q < TOKENS; q++) {
        for (int k = 0; k < TOKENS; k++)
            cr_expect_float_eq(((const float *)attention->data)[q * TOKENS + k], weights[q][k],
                               1e-6);
        for (int i = 0; i < WIDTH; i++) {
            double sum = 0;
            for (int k = 0; k < TOKENS; k++)
                sum += weights[q][k] * (double)given[k][i];
            cr_expect_float_eq(((const float *)gate->data)[q * WIDTH + i], 1 / (1 + exp(-sum)),
                               1e-6);
        }
    }
}

static struct espy_tensor input_of(float x[TOKENS][WIDTH])
{
    memcpy(x, given, sizeof(given));
    return (struct espy_tensor){.name = "x",
                                .dtype = ESPY_FLOAT32,
                                .rank = 4,
                                .dims = {1, 1, TOKENS, WIDTH},
                                .data = x,
                                .size = sizeof(given)};
}

Test(session_attention, maps_are_what_the_model_computes)
{
    static const char *const names[] = {"blocks.0/gate", "blocks.0/attn"};
    const struct espy_session_params params = {
        .size = sizeof(params), .attention = names, .attention_count = 2};
    struct lab lab;
    float x[TOKENS][WIDTH];
    const struct espy_tensor input = input_of(x);
    lab_open(&lab);
    lab_model(&lab, make_attention);
    lab_session(&lab, &params);
    for (int round = 0; round < 2; round++) {
        struct espy_tensor outputs[] = {
            {.name = "blocks.0/attn"}, {.name = "y"}, {.name = "blocks.0/gate"}};
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, outputs, 3));
        expect_maps(&outputs[0], &outputs[2]);
        for (int i = 0; i < TOKENS * WIDTH; i++)
            cr_expect_float_eq(((const float *)outputs[1].data)[i],
                               given[i / WIDTH][i % WIDTH] * ((const float *)outputs[2].data)[i],
                               1e-6);
    }
    lab_close(&lab);
}

Test(session_attention, who_does_not_ask_plans_as_without_sites)
{
    static const char *const names[] = {"blocks.0/attn"};
    const struct espy_session_params params = {
        .size = sizeof(params), .attention = names, .attention_count = 1};
    struct lab lab;
    struct espy_plan_info plain, asked;
    float x[TOKENS][WIDTH];
    const struct espy_tensor input = input_of(x);
    struct espy_tensor output = {.name = "blocks.0/attn"};
    lab_init(&lab, make_attention);
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &plain, NULL));
    EXPECT_FAILED(&lab, espy_session_run(lab.session, &input, 1, &output, 1), ESPY_INVALID_ARGUMENT,
                  "blocks.0/attn");
    espy_session_destroy(&lab.session);
    lab_session(&lab, &params);
    struct espy_tensor planned[2];
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &asked, planned));
    cr_expect(asked.written_size >= plain.written_size + sizeof(float) * TOKENS * TOKENS,
              "%llu, %llu", (unsigned long long)asked.written_size,
              (unsigned long long)plain.written_size);
    cr_expect_str_eq(planned[1].name, "attention");
    lab_close(&lab);
}

Test(session_attention, sites_are_listed_and_wrong_names_refused)
{
    static const char *const unknown[] = {"blocks.1/attn"};
    static const char *const twice[] = {"blocks.0/attn", "blocks.0/attn"};
    struct espy_session_params params = {
        .size = sizeof(params), .attention = unknown, .attention_count = 1};
    struct espy_attention_info info;
    struct lab lab;
    lab_open(&lab);
    lab_model(&lab, make_attention);
    cr_assert(espy_model_attention_count(lab.model) == 2);
    EXPECT_OK(&lab, espy_model_attention(lab.model, 0, &info));
    cr_expect_str_eq(info.name, "blocks.0/attn");
    cr_expect_str_eq(info.kind, "softmax");
    cr_expect_str_eq(info.node, "attention");
    cr_expect(info.heads == 1 && info.keys.columns == TOKENS && info.queries.rows == 0);
    EXPECT_FAILED(&lab, espy_model_attention(lab.model, 2, &info), ESPY_INVALID_ARGUMENT,
                  "no site 2");
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, &params, &lab.session),
                  ESPY_INVALID_ARGUMENT, "blocks.1/attn");
    params.attention = twice;
    params.attention_count = 2;
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, &params, &lab.session),
                  ESPY_INVALID_ARGUMENT, "twice");
    params.attention_count = 3;
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, &params, &lab.session),
                  ESPY_INVALID_ARGUMENT, "has 2");
    lab_close(&lab);
}

// Heads of many tokens that attend to each other: in an Attention, which has two names, and once
// more in nodes of their own.
static void make_many(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, HEADS, MANY, DEPTH));
    const uint32_t mixed = MAKE(graph, "Attention", "attention", x, x, x);
    make_number(graph, "scale", 1);
    const uint32_t keys = MAKE(graph, "Transpose", "keys", x);
    make_numbers(graph, "perm", (const double[]){0, 1, 3, 2}, 4);
    const uint32_t weights = MAKE(graph, "Softmax", "weights", MAKE(graph, "MatMul", "p", x, keys));
    const uint32_t mixed_too = MAKE(graph, "MatMul", "mixed_too", weights, x);
    make_output(graph, MAKE(graph, "Add", "y", mixed, mixed_too));
    add_site(graph, "fused", "softmax", 0);
    add_site(graph, "fused too", "softmax", 0);
    add_site(graph, "apart", "softmax", 3);
    cr_assert_str_eq(graph->nodes[3].op, "Softmax");
}

static void fill_many(float x[HEADS][MANY][DEPTH])
{
    for (int i = 0; i < HEADS * MANY * DEPTH; i++)
        x[i / (MANY * DEPTH)][i / DEPTH % MANY][i % DEPTH] = (float)(i * 37 % 101) / 50 - 1;
}

// What a site's map says of queries from first on is the softmax of products in double precision.
static void expect_rows(float x[HEADS][MANY][DEPTH], const struct espy_tensor *map, int first)
{
    const int rows = (int)map->dims[2];
    for (int h = 0; h < HEADS; h++) {
        for (int r = 0; r < rows; r++) {
            double weights[MANY], sum = 0;
            for (int k = 0; k < MANY; k++) {
                double product = 0;
                for (int i = 0; i < DEPTH; i++)
                    product += (double)x[h][first + r][i] * (double)x[h][k][i];
                weights[k] = exp(product);
                sum += weights[k];
            }
            for (int k = 0; k < MANY; k++)
                cr_expect_float_eq(((const float *)map->data)[(h * rows + r) * MANY + k],
                                   weights[k] / sum, 1e-6, "%s: head %d, query %d, key %d",
                                   map->name, h, first + r, k);
        }
    }
}

static const char *const many_names[] = {"fused", "fused too", "apart"};

Test(session_attention, rows_are_those_of_the_whole_map)
{
    static const struct {
        struct espy_attention_rows rows;
        int64_t count; // that there are
    } cases[] = {{{0, 0}, MANY},
                 {{33, 1}, 1},
                 {{0, 5}, 5},
                 {{61, 0}, 9},
                 {{66, 20}, 4},
                 {{70, 3}, 0},
                 {{UINT32_MAX, UINT32_MAX}, 0}};
    struct lab lab;
    static float x[HEADS][MANY][DEPTH], whole[HEADS][MANY][MANY];
    const struct espy_tensor input = FLOATS("x", x, 1, HEADS, MANY, DEPTH);
    fill_many(x);
    lab_open(&lab);
    lab_model(&lab, make_many);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct espy_attention_rows rows[] = {cases[i].rows, {1, 2}, cases[i].rows};
        // The last time both names of one node, of which each wants other rows.
        for (uint32_t s = 0; s < 3; s++) {
            const struct espy_session_params params = {.size = sizeof(params),
                                                       .attention = many_names + (s == 1 ? 2 : 0),
                                                       .attention_rows = rows,
                                                       .attention_count = s == 2 ? 3 : 1};
            struct espy_tensor maps[3] = {
                {.name = params.attention[0]}, {.name = many_names[1]}, {.name = many_names[2]}};
            lab_session(&lab, &params);
            EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, maps, params.attention_count));
            for (uint32_t m = 0; m < params.attention_count; m++) {
                cr_assert(maps[m].rank == 4 && maps[m].dims[1] == HEADS &&
                          maps[m].dims[2] == (m == 1 ? 2 : cases[i].count) &&
                          maps[m].dims[3] == MANY);
                expect_rows(x, &maps[m], m == 1 ? 1 : (int)cases[i].rows.first);
            }
            if (i == 0 && s == 0)
                memcpy(whole, maps[0].data, sizeof(whole));
            for (int64_t h = 0; h < HEADS && s == 0; h++)
                for (int64_t r = 0; r < cases[i].count * MANY; r++)
                    cr_expect_float_eq(((const float *)maps[0].data)[h * cases[i].count * MANY + r],
                                       (&whole[h][0][0])[(int64_t)cases[i].rows.first * MANY + r],
                                       1e-6);
            espy_session_destroy(&lab.session);
        }
    }
    lab_close(&lab);
}

// One query of many costs no more memory than its row, and the result is made as without maps.
Test(session_attention, only_rows_that_are_asked_for_are_stored)
{
    static const struct espy_attention_rows one[] = {{33, 1}};
    static float x[HEADS][MANY][DEPTH];
    const struct espy_tensor input = FLOATS("x", x, 1, HEADS, MANY, DEPTH);
    struct espy_session_params params = {.size = sizeof(params)};
    struct espy_plan_info plain, all, row;
    struct lab lab;
    lab_open(&lab);
    lab_model(&lab, make_many);
    lab_session(&lab, &params);
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &plain, NULL));
    espy_session_destroy(&lab.session);
    params.attention = many_names;
    params.attention_count = 1;
    lab_session(&lab, &params);
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &all, NULL));
    espy_session_destroy(&lab.session);
    params.attention_rows = one;
    lab_session(&lab, &params);
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &row, NULL));
    const uint64_t map = sizeof(float) * HEADS * MANY * MANY;
    const uint64_t stats = sizeof(float) * HEADS * MANY * 2;
    cr_expect(all.written_size >= plain.written_size + map &&
              all.written_size <= plain.written_size + map + stats);
    cr_expect(row.written_size >= plain.written_size + map / MANY &&
              row.written_size <= plain.written_size + map / MANY + 2 * stats);
    cr_expect(row.dispatch_count <= plain.dispatch_count + 2, "one for the row's statistics");
    lab_close(&lab);
}

Test(session_attention, rows_of_what_has_no_queries_are_refused)
{
    static const char *const names[] = {"blocks.0/gate"};
    struct espy_attention_rows rows[] = {{0, 1}};
    const struct espy_session_params params = {
        .size = sizeof(params), .attention = names, .attention_rows = rows, .attention_count = 1};
    struct lab lab;
    lab_open(&lab);
    lab_model(&lab, make_attention);
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, &params, &lab.session),
                  ESPY_INVALID_ARGUMENT, "spatial_gate");
    rows[0].count = 0;
    lab_session(&lab, &params);
    lab_close(&lab);
}

// A mask input hides keys from MANY / 2 on, and all of them from query 2.
static void make_masked(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, HEADS, MANY, DEPTH));
    const uint32_t mask = make_input(graph, "mask", ESPY_FLOAT32, SHAPE(MANY, MANY));
    make_output(graph, MAKE(graph, "Attention", "y", x, x, x, mask));
    add_site(graph, "site", "softmax", 0);
}

Test(session_attention, hidden_keys_weigh_exactly_nothing)
{
    static const char *const names[] = {"site"};
    static const struct espy_attention_rows cases[] = {{0, 0}, {1, 3}};
    static float x[HEADS][MANY][DEPTH], mask[MANY][MANY];
    const struct espy_tensor inputs[] = {FLOATS("x", x, 1, HEADS, MANY, DEPTH),
                                         FLOATS("mask", mask, MANY, MANY)};
    struct lab lab;
    fill_many(x);
    for (int q = 0; q < MANY; q++)
        for (int k = 0; k < MANY; k++)
            mask[q][k] = k >= MANY / 2 || q == 2 ? -INFINITY : 0;
    lab_open(&lab);
    lab_model(&lab, make_masked);
    for (int i = 0; i < 2; i++) {
        const struct espy_session_params params = {.size = sizeof(params),
                                                   .attention = names,
                                                   .attention_rows = &cases[i],
                                                   .attention_count = 1};
        struct espy_tensor map = {.name = "site"};
        lab_session(&lab, &params);
        EXPECT_OK(&lab, espy_session_run(lab.session, inputs, 2, &map, 1));
        const float *weights = map.data;
        for (int64_t r = 0; r < HEADS * map.dims[2]; r++) {
            const bool empty = r % map.dims[2] + cases[i].first == 2;
            double sum = 0;
            for (int k = 0; k < MANY; k++) {
                sum += (double)weights[r * MANY + k];
                cr_expect(k < MANY / 2 && !empty ? weights[r * MANY + k] > 0
                                                 : weights[r * MANY + k] == 0);
            }
            cr_expect_float_eq(sum, empty ? 0 : 1, 1e-6);
        }
        espy_session_destroy(&lab.session);
    }
    lab_close(&lab);
}
