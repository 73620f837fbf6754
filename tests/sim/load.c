/* Arrivals, requests and their figures; see load.h. */
#include "load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/text.h"
#include "base/clock.h"
#include "base/banned.h"

#define LENGTH_MAX  30000 /* tokens, where nothing is said */
#define PAUSE_MS    20000 /* of a slow reader */
#define PAUSE_AFTER 4     /* tokens */
#define HANG_UP_MAX 64    /* tokens */
#define RETRY_S     1     /* where a refusal doesn't say */
#define TWO_PI      6.283185307179586

/* Streams of random numbers of a tenant. */
enum draw {
    DRAW_GAP = 1,
    DRAW_PROMPT,
    DRAW_PROMPT_2,
    DRAW_OUTPUT,
    DRAW_OUTPUT_2,
    DRAW_PREFIX,
    DRAW_HANG_UP,
    DRAW_SLOW,
    DRAW_WORDS,
    DRAW_SEED
};

struct tenant {
    struct load *load;
    struct load_tenant options;
    uint32_t index;
    uint64_t n; /* requests so far */
    int64_t stop_ns;
    struct http_timer next;
    struct load_figures figures;
    struct user *users;
};

struct user { /* of a closed loop */
    struct tenant *tenant;
    struct http_timer next;
    uint32_t index;
};

struct order { /* a request under way */
    struct order *next, *prev;
    struct tenant *tenant;
    struct user *user; /* NULL: an open arrival */
    uint32_t worker;
    bool counted; /* it began in the window */
};

struct load {
    struct sim *sim;
    struct load_options options;
    struct tenant *tenants;
    struct load_figures all;
    struct order *orders;
    uint32_t in_flight[SIM_WORKERS_MAX];
    uint32_t n_open, next_worker;
    int64_t from_ns, stop_ns;
    int32_t *ids; /* scratch for one prompt */
    size_t ids_cap;
    enum pl_status status;
    struct pl_error err;
};

/* ---- random choices ------------------------------------------------------------------------------ */

static uint64_t stream_of(const struct tenant *t, enum draw draw)
{
    return ((uint64_t)t->index + 1) * 64 + (uint64_t)draw;
}

static double draw(const struct tenant *t, enum draw what, uint64_t n)
{
    return sim_uniform(sim_seed(t->load->sim), stream_of(t, what), n);
}

static uint32_t draw_length(const struct tenant *t, const struct load_length *length,
                            enum draw what, uint64_t n)
{
    double value = length->a;
    if (length->shape == LOAD_UNIFORM)
        value += draw(t, what, n) * (length->b - length->a + 1);
    if (length->shape == LOAD_LOGNORMAL) {
        double radius = sqrt(-2 * log(1 - draw(t, what, n)));
        value *=
            exp(length->b * radius * cos(TWO_PI * draw(t, what + 1, n))); /* Box, Muller 1958 */
    }
    double min = length->min > 0 ? length->min : 1;
    double max = length->max > 0 ? length->max : LENGTH_MAX;
    return (uint32_t)PL_MAX(min, PL_MIN(max, floor(value)));
}

/* ---- prompts ------------------------------------------------------------------------------------- */

static bool reserve_ids(struct load *load, size_t n)
{
    if (n <= load->ids_cap)
        return true;
    int32_t *ids = realloc(load->ids, n * sizeof *ids);
    if (ids == NULL)
        return false;
    load->ids = ids;
    load->ids_cap = n;
    return true;
}

static void put_words(struct load *load, uint64_t key, uint32_t from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        load->ids[from + i] = sim_word(sim_mix(key, i));
}

/* The prompt of a tenant's n-th request; how long it is, 0 without memory. */
static uint32_t make_prompt(struct tenant *t, uint64_t n, const struct user *user)
{
    struct load *load = t->load;
    const struct load_tenant *o = &t->options;
    const struct load_arrival_line *line = o->n_trace > 0 ? &o->trace[n] : NULL;
    uint32_t n_prefix = o->n_prefixes > 0 ? o->prefix_tokens : 0;
    uint32_t n_own = 0;
    if (line != NULL) {
        n_prefix = PL_MIN(line->prefix_tokens, line->n_in);
        n_own = line->n_in - n_prefix;
    } else {
        n_own = draw_length(t, &o->prompt, DRAW_PROMPT, n);
    }
    if (!reserve_ids(load, (size_t)n_prefix + n_own))
        return 0;
    uint64_t key = sim_mix(sim_seed(load->sim), stream_of(t, DRAW_WORDS));
    if (n_prefix > 0) {
        uint64_t which = (uint64_t)(draw(t, DRAW_PREFIX, n) * o->n_prefixes);
        if (o->prefixes_of_user && user != NULL)
            which = user->index % o->n_prefixes;
        if (line != NULL)
            which = line->prefix_i;
        put_words(load, sim_mix(key, which), 0, n_prefix);
    }
    put_words(load, sim_mix(key, 1000000 + n), n_prefix, n_own);
    return n_prefix + n_own;
}

/* ---- orders -------------------------------------------------------------------------------------- */

static void link_order(struct load *load, struct order *order)
{
    order->next = load->orders;
    if (order->next != NULL)
        order->next->prev = order;
    load->orders = order;
    load->in_flight[order->worker]++;
    load->n_open++;
}

static void free_order(struct load *load, struct order *order)
{
    if (order->prev != NULL)
        order->prev->next = order->next;
    else
        load->orders = order->next;
    if (order->next != NULL)
        order->next->prev = order->prev;
    load->in_flight[order->worker]--;
    load->n_open--;
    free(order);
}

/* ---- answers ------------------------------------------------------------------------------------- */

/* Texts are tokens as long as nothing is guessed ahead; what is left counts at the end. */
static uint64_t tokens_in_window(const struct load *load, const struct sim_answer *a)
{
    if (a->first_ns == 0)
        return 0;
    uint64_t n = 0;
    double per_text = (double)a->output_tokens / (a->n_gaps + 1.0);
    int64_t at_ns = a->first_ns;
    for (uint32_t i = 0;; i++) {
        if (at_ns >= load->from_ns && at_ns < load->stop_ns)
            n++;
        if (i == a->n_gaps)
            break;
        at_ns += a->gaps_ns[i];
    }
    return (uint64_t)llround((double)n * per_text);
}

static void count_done(struct load_figures *f, const struct sim_answer *a)
{
    f->prompt_tokens += a->prompt_tokens;
    f->cached_tokens += a->cached_tokens;
    f->output_tokens += a->output_tokens;
    load_samples_add(&f->ttft_s, (double)(a->first_ns - a->begun_ns) / 1e9);
    load_samples_add(&f->e2e_s, (double)(a->done_ns - a->begun_ns) / 1e9);
    for (uint32_t i = 0; i < a->n_gaps; i++)
        load_samples_add(&f->gap_s, (double)a->gaps_ns[i] / 1e9);
}

static void count(struct load_figures *f, const struct sim_answer *a, uint64_t tokens, bool counted)
{
    f->window_tokens += tokens;
    if (!counted)
        return;
    f->n_over++;
    f->outcomes[a->outcome]++;
    if (a->outcome == SIM_FAILED && a->http_status == 504)
        f->timeouts++;
    if (a->outcome == SIM_DONE)
        count_done(f, a);
    else if (f->first_error[0] == '\0' && a->outcome != SIM_HUNG_UP)
        (void)snprintf(f->first_error, sizeof f->first_error, "%.200s", a->message);
}

static void stop_if_over(struct load *load)
{
    bool more = load->n_open > 0;
    for (uint32_t i = 0; i < load->options.n_tenants && !more; i++) {
        const struct tenant *t = &load->tenants[i];
        more = t->next.armed;
        for (uint32_t u = 0; t->users != NULL && u < t->options.users && !more; u++)
            more = t->users[u].next.armed;
    }
    if (!more)
        sim_stop(load->sim);
}

static void go_on(const struct order *order, const struct sim_answer *a)
{
    struct user *user = order->user;
    const struct load_tenant *o = &order->tenant->options;
    struct load *load = order->tenant->load;
    int64_t wait_ns = (int64_t)(o->think_s * 1e9);
    if (a->outcome != SIM_DONE && a->outcome != SIM_HUNG_UP && !o->no_retry) {
        int64_t retry_s = a->retry_after_s > 0 ? a->retry_after_s : RETRY_S;
        wait_ns = PL_MAX(wait_ns, retry_s * SIM_NS_PER_S);
    }
    if (sim_now_ns(load->sim) + wait_ns < order->tenant->stop_ns)
        http_timer_arm(sim_loop(load->sim), &user->next, clock_now_ns() + wait_ns);
}

static void on_answer(void *user, const struct sim_answer *answer)
{
    struct order *order = user;
    struct load *load = order->tenant->load;
    uint64_t tokens = tokens_in_window(load, answer);
    count(&order->tenant->figures, answer, tokens, order->counted);
    count(&load->all, answer, tokens, order->counted);
    if (order->user != NULL)
        go_on(order, answer);
    free_order(load, order);
    stop_if_over(load);
}

/* ---- requests ------------------------------------------------------------------------------------ */

static uint32_t pick_worker(struct load *load)
{
    uint32_t n = sim_n_workers(load->sim);
    uint32_t best = load->next_worker++ % n;
    if (load->options.pick == LOAD_ROUND)
        return best;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t w = (best + i) % n;
        bool up = sim_worker_is_up(sim_worker_at(load->sim, w));
        bool best_up = sim_worker_is_up(sim_worker_at(load->sim, best));
        if (up && (!best_up || load->in_flight[w] < load->in_flight[best]))
            best = w;
    }
    return best;
}

static void give_up(struct load *load, enum pl_status status, const struct pl_error *err)
{
    load->status = status;
    load->err = *err;
    sim_stop(load->sim);
}

static struct sim_request describe(struct tenant *t, uint64_t n, uint32_t n_ids)
{
    const struct load_tenant *o = &t->options;
    struct sim_request request = {
        .ids = t->load->ids,
        .n_ids = n_ids,
        .max_tokens =
            o->n_trace > 0 ? o->trace[n].n_out : draw_length(t, &o->output, DRAW_OUTPUT, n),
        .tenant = o->name,
        .org = o->org,
        .key = o->key,
        .weight = o->weight,
        .priority = o->priority,
        .deadline_ms = o->deadline_ms,
        .temperature = o->temperature,
        .seed = (uint64_t)(draw(t, DRAW_SEED, n) * 1e9),
        .n = o->n,
        .no_check = t->load->options.no_check,
        .on_done = on_answer,
    };
    if (draw(t, DRAW_HANG_UP, n) < o->hang_up)
        request.hang_up_after = 1 + (uint32_t)(sim_mix(request.seed, 1) % HANG_UP_MAX);
    if (draw(t, DRAW_SLOW, n) < o->slow_reader) {
        request.pause_after = PAUSE_AFTER;
        request.pause_ms = PAUSE_MS;
    }
    return request;
}

static void send_next(struct tenant *t, struct user *user)
{
    struct load *load = t->load;
    struct pl_error err = {{0}};
    uint64_t n = t->n++;
    struct order *order = calloc(1, sizeof *order);
    uint32_t n_ids = make_prompt(t, n, user);
    if (order == NULL || n_ids == 0) {
        free(order);
        give_up(load, pl_error_set(&err, PL_ENOMEM, "sim: no memory for a request"), &err);
        return;
    }
    int64_t now_ns = sim_now_ns(load->sim);
    *order = (struct order){.tenant = t,
                            .user = user,
                            .worker = pick_worker(load),
                            .counted = now_ns >= load->from_ns && now_ns < load->stop_ns};
    struct sim_request request = describe(t, n, n_ids);
    request.address = load->options.address != NULL
                          ? load->options.address
                          : sim_worker_address(sim_worker_at(load->sim, order->worker));
    request.user = order;
    link_order(load, order);
    if (order->counted) {
        t->figures.n_begun++;
        load->all.n_begun++;
    }
    enum pl_status status = sim_request_begin(load->sim, &request, &err);
    if (status != PL_OK) {
        free_order(load, order);
        give_up(load, status, &err);
    }
}

/* ---- arrivals ------------------------------------------------------------------------------------ */

static bool is_over(const struct tenant *t)
{
    return sim_now_ns(t->load->sim) >= t->stop_ns ||
           (t->options.n_max > 0 && t->n >= t->options.n_max) ||
           (t->options.arrival == LOAD_TRACE && t->n >= t->options.n_trace);
}

/* Until the next arrival of an open tenant. */
static int64_t next_gap_ns(const struct tenant *t)
{
    if (t->options.arrival == LOAD_TRACE) {
        double at_s = t->options.start_s + t->options.trace[t->n].at_s;
        return PL_MAX((int64_t)(at_s * 1e9) - sim_now_ns(t->load->sim), 0);
    }
    double gap_s = 1 / t->options.rate;
    if (t->options.arrival == LOAD_POISSON)
        gap_s *= -log(1 - draw(t, DRAW_GAP, t->n));
    return (int64_t)(gap_s * 1e9);
}

static void arm_next(struct tenant *t)
{
    if (is_over(t)) {
        stop_if_over(t->load);
        return;
    }
    int64_t due_ns = sim_now_ns(t->load->sim) + next_gap_ns(t);
    if (due_ns < t->stop_ns)
        http_timer_arm(sim_loop(t->load->sim), &t->next,
                       clock_now_ns() + due_ns - sim_now_ns(t->load->sim));
    else
        stop_if_over(t->load);
}

static void on_next(void *user)
{
    struct tenant *t = user;
    uint32_t n = t->options.arrival == LOAD_BURSTS ? PL_MAX(t->options.burst, 1) : 1;
    for (uint32_t i = 0; i < n && !is_over(t); i++)
        send_next(t, NULL);
    arm_next(t);
}

static void on_user(void *user)
{
    struct user *u = user;
    if (is_over(u->tenant))
        stop_if_over(u->tenant->load);
    else
        send_next(u->tenant, u);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static enum pl_status start_tenant(struct tenant *t, struct pl_error *err)
{
    struct load *load = t->load;
    struct load_tenant *o = &t->options;
    int64_t start_ns = (int64_t)(o->start_s * 1e9);
    int64_t wait_ns = PL_MAX(start_ns - sim_now_ns(load->sim), 0);
    t->stop_ns = o->stop_s > 0 ? (int64_t)(o->stop_s * 1e9) : load->stop_ns;
    t->next = (struct http_timer){.fn = on_next, .user = t};
    if (o->arrival != LOAD_CLOSED) {
        if (o->arrival == LOAD_TRACE ? o->n_trace == 0 : !(o->rate > 0))
            return pl_error_set(err, PL_EINVAL, "sim: a tenant without a rate or a trace");
        wait_ns = o->arrival == LOAD_TRACE ? next_gap_ns(t) : wait_ns + next_gap_ns(t);
        http_timer_arm(sim_loop(load->sim), &t->next, clock_now_ns() + wait_ns);
        return PL_OK;
    }
    t->users = calloc(PL_MAX(o->users, 1), sizeof *t->users);
    if (t->users == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for users");
    for (uint32_t i = 0; i < o->users; i++) {
        struct user *u = &t->users[i];
        *u = (struct user){.tenant = t, .index = i};
        u->next = (struct http_timer){.fn = on_user, .user = u};
        int64_t ramp_ns = (int64_t)(o->ramp_s * 1e9 * i / o->users);
        http_timer_arm(sim_loop(load->sim), &u->next, clock_now_ns() + wait_ns + ramp_ns);
    }
    return PL_OK;
}

enum pl_status load_new(struct sim *sim, const struct load_options *options, struct load **ret,
                        struct pl_error *err)
{
    if (options->n_tenants == 0 || options->n_tenants > LOAD_TENANTS_MAX || sim_n_workers(sim) == 0)
        return pl_error_set(err, PL_EINVAL, "sim: a load needs 1 to %d tenants, and workers",
                            LOAD_TENANTS_MAX);
    struct load *load = calloc(1, sizeof *load);
    struct tenant *tenants = calloc(options->n_tenants, sizeof *tenants);
    if (load == NULL || tenants == NULL) {
        free(load);
        free(tenants);
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a load");
    }
    load->sim = sim;
    load->options = *options;
    load->tenants = tenants;
    load->from_ns = (int64_t)(options->from_s * 1e9);
    load->stop_ns = (int64_t)(options->stop_s * 1e9);
    load->all.window_s = options->stop_s - options->from_s;
    enum pl_status status = PL_OK;
    for (uint32_t i = 0; i < options->n_tenants && status == PL_OK; i++) {
        tenants[i] = (struct tenant){.load = load, .options = options->tenants[i], .index = i};
        tenants[i].figures.window_s = load->all.window_s;
        status = start_tenant(&tenants[i], err);
    }
    if (status != PL_OK) {
        load_free(load);
        return status;
    }
    *ret = load;
    return PL_OK;
}

static void free_figures(struct load_figures *f)
{
    free(f->ttft_s.values);
    free(f->gap_s.values);
    free(f->e2e_s.values);
}

void load_free(struct load *load)
{
    if (load == NULL)
        return;
    for (uint32_t i = 0; i < load->options.n_tenants; i++) {
        struct tenant *t = &load->tenants[i];
        http_timer_cancel(sim_loop(load->sim), &t->next);
        for (uint32_t u = 0; t->users != NULL && u < t->options.users; u++)
            http_timer_cancel(sim_loop(load->sim), &t->users[u].next);
        free(t->users);
        free_figures(&t->figures);
    }
    while (load->orders != NULL)
        free_order(load, load->orders);
    free_figures(&load->all);
    free(load->tenants);
    free(load->ids);
    free(load);
}

enum pl_status load_run(struct load *load, double grace_s, struct pl_error *err)
{
    int64_t last_ns = load->stop_ns;
    for (uint32_t i = 0; i < load->options.n_tenants; i++)
        last_ns = PL_MAX(last_ns, load->tenants[i].stop_ns);
    enum pl_status status = sim_run(load->sim, last_ns + (int64_t)(grace_s * 1e9), err);
    if (status != PL_OK)
        return status;
    if (load->status != PL_OK)
        return pl_error_set(err, load->status, "%s", load->err.msg);
    if (load->n_open > 0)
        return pl_error_set(err, PL_ETIMEDOUT, "sim: %u requests have no answer %.0f s after all",
                            load->n_open, grace_s);
    return PL_OK;
}

struct load_figures *load_figures(struct load *load, uint32_t i)
{
    return i < load->options.n_tenants ? &load->tenants[i].figures : &load->all;
}
