/* See get.h. */
#include "get.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/rng.h"
#include "io.h"
#include "retry.h"
#include "store.h"
#include "base/banned.h"

#define MAGIC       "GGUF"
#define MAGIC_BYTES 4
#define SPARE_BYTES ((uint64_t)16 << 20) /* left free: records, other programs */
#define NAP_MS      100                  /* how soon a stop is seen while waiting */

/* What follows a try. */
enum step {
    STEP_DONE,
    STEP_NOW,   /* another request at once */
    STEP_LATER, /* after a wait */
    STEP_FAIL,  /* g->failed, g->why */
};

/* ---- small things -------------------------------------------------------------------------------- */

PL_PRINTF(2, 3) static void say(const struct get *g, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (g->options->say != NULL)
        g->options->say(g->options->user, line);
}

static bool stopping(const struct get *g)
{
    return g->options->stop != NULL && *g->options->stop != 0;
}

static const char *file_name(const struct get *g)
{
    const char *slash = strrchr(g->path, '/');
    return slash != NULL ? slash + 1 : g->path;
}

static bool whole_size(const struct get *g, uint64_t *ret)
{
    if (!g->known_size && !g->part.info.has_size)
        return false;
    *ret = g->known_size ? g->size : g->part.info.size;
    return true;
}

static void show(const struct get *g, bool checking, uint64_t have, uint64_t total)
{
    struct fetch_progress p = {
        .file = file_name(g),
        .no = g->no,
        .n_files = g->n_files,
        .checking = checking,
        .have = have,
        .has_size = checking,
        .size = total,
    };
    if (!checking)
        p.has_size = whole_size(g, &p.size);
    if (g->options->progress != NULL)
        g->options->progress(g->options->user, &p);
}

static bool on_reading(void *user, uint64_t done, uint64_t total)
{
    const struct get *g = user;
    show(g, true, done, total);
    return !stopping(g);
}

/* A failure inside a callback: the transfer stops, the step fails. */
static bool give_up(struct get *g, enum pl_status status)
{
    g->failed = status;
    return false;
}

static const char *kept(const struct get *g, char ret[64])
{
    char have[16], size[16];
    uint64_t total = 0;
    io_human_bytes(g->part.have, have);
    ret[0] = '\0';
    if (g->part.have == 0)
        return ret;
    if (whole_size(g, &total)) {
        io_human_bytes(total, size);
        (void)snprintf(ret, 64, "; %s of %s are kept", have, size);
    } else {
        (void)snprintf(ret, 64, "; %s are kept", have);
    }
    return ret;
}

/* A full disk gets a line of its own. */
static bool give_up_writing(struct get *g, enum pl_status status)
{
    char note[64];
    if (status == PL_ELIMIT)
        (void)pl_error_set(&g->why, status,
                           "no room left on the disk of %s.part%s: make room, then run the same "
                           "again",
                           g->path, kept(g, note));
    return give_up(g, status);
}

/* ---- callbacks of a request ---------------------------------------------------------------------- */

static bool on_tick(void *user)
{
    struct get *g = user;
    show(g, false, g->part.have, 0);
    return !stopping(g);
}

/* What the Hub tells of the file: expected from here on. False: it contradicts what is expected. */
static bool take_linked(struct get *g, const struct answer *linked)
{
    if (linked->commit[0] != '\0')
        memcpy(g->commit, linked->commit, sizeof g->commit);
    if (linked->has_linked_size) {
        g->known_size = true;
        g->size = linked->linked_size;
    }
    if (linked->sha256[0] == '\0')
        return true;
    if (g->sha256[0] != '\0' && strcmp(g->sha256, linked->sha256) != 0) {
        (void)pl_error_set(&g->why, PL_EFORMAT,
                           "%s: the server offers sha256 %s, not the expected %s", file_name(g),
                           linked->sha256, g->sha256);
        return false;
    }
    memcpy(g->known, linked->sha256, sizeof g->known);
    return true;
}

static bool has_room(struct get *g, uint64_t size)
{
    char folder[PATH_MAX], need_text[16], free_text[16];
    uint64_t left = 0, need = size > g->part.have ? size - g->part.have : 0;
    struct pl_error why;
    const char *slash = strrchr(g->path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - g->path + 1) : 1,
                   slash != NULL ? g->path : ".");
    if (store_free_bytes(folder, &left, &why) != PL_OK || left >= need + SPARE_BYTES || need == 0)
        return true;
    io_human_bytes(need, need_text);
    io_human_bytes(left, free_text);
    (void)pl_error_set(&g->why, PL_ELIMIT,
                       "%s needs %s more and %s has %s free: make room, or choose another folder "
                       "with --dir",
                       file_name(g), need_text, folder, free_text);
    return false;
}

static void take_facts(struct get *g, const struct answer *a)
{
    struct info *info = &g->part.info;
    uint64_t size = 0;
    if (answer_size(a, &size)) {
        info->has_size = true;
        info->size = size;
    } else if (g->known_size) {
        info->has_size = true;
        info->size = g->size;
    }
    if (a->etag[0] != '\0')
        memcpy(info->etag, a->etag, sizeof info->etag);
    if (a->modified[0] != '\0')
        memcpy(info->modified, a->modified, sizeof info->modified);
    memcpy(info->commit, g->commit, sizeof info->commit);
}

/* Before the first byte of an answer that is taken: the part and its record fit it. */
static bool prepare(struct get *g, const struct answer *a)
{
    const struct info *info = &g->part.info;
    enum pl_status status = PL_OK;
    if (a->status == 200 && g->part.have > 0)
        status = part_reset(&g->part, &g->why);
    if (status != PL_OK)
        return give_up_writing(g, status);
    g->pieces = g->part.have > 0;
    take_facts(g, a);
    if (info->has_size && g->known_size && info->size != g->size) {
        (void)pl_error_set(&g->why, PL_EFORMAT,
                           "%s: the server sends %llu bytes, announced were %llu", file_name(g),
                           (unsigned long long)info->size, (unsigned long long)g->size);
        return give_up(g, PL_EFORMAT);
    }
    if (info->has_size && !has_room(g, info->size))
        return give_up(g, PL_ELIMIT);
    status = part_sync(&g->part, &g->why);
    return status == PL_OK ? true : give_up_writing(g, status);
}

/* Why a range was asked for and the whole file comes. */
static void say_restart(const struct get *g, const struct answer *a)
{
    const struct info *old = &g->part.info;
    bool changed =
        (a->etag[0] != '\0' && old->etag[0] != '\0' && strcmp(a->etag, old->etag) != 0) ||
        (a->modified[0] != '\0' && old->modified[0] != '\0' &&
         strcmp(a->modified, old->modified) != 0);
    say(g, "%s: %s: starting again", file_name(g),
        changed ? "the file has changed on the server" : "the server cannot resume");
}

static bool on_answer(void *user, const struct answer *a, const struct answer *linked)
{
    struct get *g = user;
    struct answer_request asked = {
        .offset = g->part.have,
        .has_size = g->part.info.has_size,
        .size = g->part.info.size,
        .etag = g->part.info.etag,
    };
    g->reached = true;
    if (!take_linked(g, linked))
        return give_up(g, PL_EFORMAT);
    g->verdict = answer_judge(a, &asked);
    if (g->verdict == ANSWER_RESTART)
        say_restart(g, a);
    return (g->verdict == ANSWER_TAKE || g->verdict == ANSWER_RESTART) && prepare(g, a);
}

/* The first bytes tell a model from a page that says "please log in". */
static bool begins_well(struct get *g, const char *bytes, size_t n)
{
    char begin[MAGIC_BYTES + 1] = "";
    if (g->part.have > 0 || memcmp(bytes, MAGIC, PL_MIN(n, (size_t)MAGIC_BYTES)) == 0)
        return true;
    for (size_t i = 0; i < n && i < MAGIC_BYTES; i++)
        begin[i] = (char)(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '?');
    (void)pl_error_set(&g->why, PL_EFORMAT,
                       "%s is no model: what the server sends begins with '%s', not with '" MAGIC
                       "'",
                       file_name(g), begin);
    return false;
}

static bool on_body(void *user, const void *bytes, size_t n)
{
    struct get *g = user;
    uint64_t size = 0;
    if (n == 0)
        return true;
    if (!begins_well(g, bytes, n))
        return give_up(g, PL_EFORMAT);
    if (whole_size(g, &size) && n > size - PL_MIN(g->part.have, size)) {
        (void)pl_error_set(&g->why, PL_EFORMAT,
                           "%s: the server sends more than the %llu bytes "
                           "that it announced",
                           file_name(g), (unsigned long long)size);
        return give_up(g, PL_EFORMAT);
    }
    enum pl_status status = part_write(&g->part, bytes, n, &g->why);
    if (status != PL_OK)
        return give_up_writing(g, status);
    show(g, false, g->part.have, 0);
    return true;
}

/* ---- what a try comes to ------------------------------------------------------------------------- */

static enum step fail(struct get *g, enum pl_status status)
{
    g->failed = status;
    return STEP_FAIL;
}

static enum step fail_denied(struct get *g, int code)
{
    const char *host = g->url->host;
    bool hub = fetch_is_hub(g->url->text, g->options->endpoint);
    if (g->token != NULL)
        (void)pl_error_set(
            &g->why, PL_EPERM,
            "%s refuses the token (%d): it is invalid, or its owner has no access to "
            "this model%s",
            host, code, hub ? " yet: accept its terms on the model's page" : "");
    else
        (void)pl_error_set(&g->why, PL_EPERM,
                           "%s asks for a token (%d): %spass --token-file FILE%s", host, code,
                           hub ? "set HF_TOKEN, or " : "",
                           hub ? " (a wrong name of a model gets the same answer)" : "");
    return fail(g, PL_EPERM);
}

/* All bytes are said to be here. */
static enum step check_digest(struct get *g)
{
    char digest[SHA256_HEX_BYTES];
    const char *want = g->sha256[0] != '\0' ? g->sha256 : g->known;
    part_digest(&g->part, digest);
    if (want[0] == '\0' || strcmp(want, digest) == 0) {
        g->expected = want[0] != '\0';
        memcpy(g->part.info.sha256, digest, sizeof digest);
        g->part.info.has_size = true;
        g->part.info.size = g->part.have;
        enum pl_status status = part_sync(&g->part, &g->why);
        return status == PL_OK ? STEP_DONE : fail(g, status);
    }
    if ((g->pieces || g->part.found > 0) && !g->second_whole) {
        say(g, "%s: its pieces do not make the expected file: starting again", file_name(g));
        g->second_whole = true;
        g->pieces = false;
        g->furthest = 0;
        enum pl_status status = part_reset(&g->part, &g->why);
        return status == PL_OK ? STEP_NOW : fail(g, status);
    }
    part_discard(&g->part);
    (void)pl_error_set(&g->why, PL_EFORMAT, "%s: wrong sha256, removed: expected %s, got %s",
                       file_name(g), want, digest);
    return fail(g, PL_EFORMAT);
}

static enum step restart(struct get *g)
{
    enum pl_status status = part_reset(&g->part, &g->why);
    g->pieces = false;
    if (status != PL_OK)
        return fail(g, status);
    (void)pl_error_set(&g->why, PL_EIO, "%s contradicts itself about the file", g->url->host);
    return g->n_fails++ < g->options->retries ? STEP_NOW : STEP_LATER; /* the limit ends it there */
}

static enum step judge_answer(struct get *g, const struct transfer_result *result)
{
    uint64_t size = 0;
    int code = result->answer.status;
    switch (g->verdict) {
    case ANSWER_TAKE:
    case ANSWER_RESTART:
        if (whole_size(g, &size) && g->part.have < size) {
            (void)pl_error_set(&g->why, PL_EIO, "the server ended the file early");
            return STEP_LATER;
        }
        return check_digest(g);
    case ANSWER_WHOLE: return check_digest(g);
    case ANSWER_AGAIN: return restart(g);
    case ANSWER_RETRY:
        (void)pl_error_set(&g->why, PL_ETIMEDOUT, "%s answers %d", g->url->host, code);
        return STEP_LATER;
    case ANSWER_DENIED: return fail_denied(g, code);
    case ANSWER_ABSENT:
        (void)pl_error_set(&g->why, PL_ENOENT, "%s has no such file (%d): %.120s", g->url->host,
                           code, g->url->text + g->url->path);
        *strchrnul(g->why.msg, '?') = '\0';
        return fail(g, PL_ENOENT);
    case ANSWER_FAIL:
    default: break;
    }
    (void)pl_error_set(&g->why, PL_EIO, "%s answers %d, which is no file", g->url->host, code);
    return fail(g, PL_EIO);
}

static enum step judge(struct get *g, const struct transfer_result *result)
{
    if (g->failed != PL_OK)
        return STEP_FAIL;
    switch (result->end) {
    case TRANSFER_DONE: return judge_answer(g, result);
    case TRANSFER_STOPPED: return fail(g, PL_ECANCELED);
    case TRANSFER_REFUSED:
        (void)pl_error_set(&g->why, PL_EPERM, "%s: %s", g->url->host, result->why);
        return fail(g, PL_EPERM);
    case TRANSFER_UNREACHABLE:
    case TRANSFER_BROKEN:
    default: break;
    }
    (void)pl_error_set(&g->why, PL_ETIMEDOUT, "%s", result->why);
    return STEP_LATER;
}

/* ---- waiting ------------------------------------------------------------------------------------- */

static enum step wait_ms(struct get *g, uint32_t ms)
{
    for (uint32_t waited = 0; waited < ms; waited += NAP_MS) {
        if (stopping(g))
            return fail(g, PL_ECANCELED);
        uint32_t nap = PL_MIN(ms - waited, (uint32_t)NAP_MS);
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)nap * 1000000}, NULL);
    }
    return STEP_NOW;
}

/* The tries are used up. */
static enum step end_tries(struct get *g, const struct transfer_result *result)
{
    char note[64];
    struct pl_error why = g->why;
    if (result->end == TRANSFER_UNREACHABLE && !g->reached)
        (void)pl_error_set(
            &g->why, PL_ETIMEDOUT,
            "cannot reach %s (%s): set https_proxy or --proxy, or put the file at %s "
            "by hand",
            g->url->host, why.msg, g->path);
    else
        (void)pl_error_set(&g->why, PL_ETIMEDOUT, "%s: %s%s: run the same again later",
                           file_name(g), why.msg, kept(g, note));
    return fail(g, PL_ETIMEDOUT);
}

static enum step try_later(struct get *g, const struct transfer_result *result)
{
    const struct fetch_options *o = g->options;
    bool gained = g->part.have > g->furthest;
    g->furthest = PL_MAX(g->part.have, g->furthest);
    g->n_fails = gained ? 1 : g->n_fails + 1;
    uint32_t limit = o->retries;
    if (!g->reached && result->end == TRANSFER_UNREACHABLE)
        limit = PL_MIN(limit, (uint32_t)FETCH_UNREACHABLE_RETRIES);
    if (g->n_fails > limit || result->retry_after_s > RETRY_AFTER_LIMIT_S)
        return end_tries(g, result);
    uint32_t ms =
        retry_wait_ms(o->retry_ms, g->n_fails, result->retry_after_s, (uint32_t)rng_entropy());
    say(g, "%s: %s; try %u of %u in %.1f s", file_name(g), g->why.msg, g->n_fails, limit,
        (double)ms / 1000.0);
    return wait_ms(g, ms);
}

/* ---- the run ------------------------------------------------------------------------------------- */

/* The validator that a resumed request names; "": none that promises equal bytes. */
static const char *validator(const struct info *info)
{
    return answer_tag_is_strong(info->etag) ? info->etag : info->modified;
}

/* Bytes that cannot be proven to be of the same file, now or at the end, are not built upon. */
static enum pl_status drop_unproven(struct get *g)
{
    bool proven =
        validator(&g->part.info)[0] != '\0' || g->sha256[0] != '\0' || g->known[0] != '\0';
    if (g->part.have == 0 || proven)
        return PL_OK;
    say(g, "%s: the server gives files no version: starting again", file_name(g));
    return part_reset(&g->part, &g->why);
}

static enum step try_once(struct get *g, struct transfer_result *result)
{
    char if_range[ANSWER_TAG_MAX];
    g->failed = drop_unproven(g);
    if (g->failed != PL_OK)
        return STEP_FAIL;
    (void)snprintf(if_range, sizeof if_range, "%s", validator(&g->part.info));
    struct request request = {
        .transfer = g->transfer,
        .url = g->url,
        .token = g->token,
        .insecure = g->options->insecure,
        .offset = g->part.have,
        .if_range = if_range,
        .on_answer = on_answer,
        .on_body = on_body,
        .on_tick = on_tick,
        .user = g,
    };
    g->verdict = ANSWER_FAIL;
    g->why.msg[0] = '\0';
    enum pl_status status = request_run(&request, result, &g->why);
    return status == PL_OK ? judge(g, result) : fail(g, status);
}

/* What was found may be all there is to get. */
static enum step begin(struct get *g)
{
    struct info *info = &g->part.info;
    char digest[SHA256_HEX_BYTES];
    if (g->part.have == 0 || !info->has_size || g->part.have != info->size)
        return STEP_NOW;
    part_digest(&g->part, digest);
    bool recorded = info->sha256[0] != '\0' && strcmp(info->sha256, digest) == 0;
    bool wanted = g->sha256[0] != '\0' && strcmp(g->sha256, digest) == 0;
    memcpy(g->commit, info->commit, sizeof g->commit);
    return wanted || (recorded && g->sha256[0] == '\0') ? check_digest(g) : STEP_NOW;
}

/* Ends in failure: the record knows what is here, so that the next run goes on from it. */
static void keep(struct get *g)
{
    struct pl_error other;
    if (g->part.fd >= 0 && g->part.have == 0)
        part_discard(&g->part);
    else if (g->part.fd >= 0 && part_sync(&g->part, &other) != PL_OK)
        part_close(&g->part); /* what was recorded before still holds */
}

enum pl_status get_run(struct get *g, struct pl_error *err)
{
    char shown[URL_MAX], note[64];
    struct transfer_result result = {.retry_after_s = -1};
    url_shown(g->url, shown);
    enum pl_status status = part_open(&g->part, g->path, shown, on_reading, g, err);
    if (status == PL_ECANCELED)
        return pl_error_set(err, status, "stopped");
    if (status != PL_OK)
        return status;
    if (g->part.found > 0) {
        char found[16];
        io_human_bytes(g->part.found, found);
        say(g, "%s: going on behind the %s that are here", file_name(g), found);
    }
    g->furthest = g->part.have;
    enum step step = begin(g);
    while (step == STEP_NOW || step == STEP_LATER) {
        step = try_once(g, &result);
        if (step == STEP_LATER)
            step = try_later(g, &result);
    }
    if (step == STEP_DONE)
        return PL_OK;
    keep(g);
    if (g->failed == PL_ECANCELED)
        return pl_error_set(err, PL_ECANCELED, "stopped%s: the same command goes on from there",
                            kept(g, note));
    return pl_error_set(err, g->failed, "%s", g->why.msg);
}

void get_end(struct get *g)
{
    part_close(&g->part);
}

/* ---- probing ------------------------------------------------------------------------------------- */

struct probe {
    struct get *get;
    struct answer answer;
};

static bool on_probe_answer(void *user, const struct answer *a, const struct answer *linked)
{
    struct probe *probe = user;
    probe->get->reached = true;
    probe->answer = *a;
    probe->get->verdict = answer_judge(a, &(struct answer_request){.etag = ""});
    if (!take_linked(probe->get, linked))
        return give_up(probe->get, PL_EFORMAT);
    return false;
}

static bool on_probe_body(void *user, const void *bytes, size_t n)
{
    (void)user, (void)bytes, (void)n;
    return false;
}

static bool on_probe_tick(void *user)
{
    const struct probe *probe = user;
    return !stopping(probe->get);
}

static enum step probe_once(struct probe *probe, struct transfer_result *result)
{
    struct get *g = probe->get;
    struct request request = {
        .transfer = g->transfer,
        .url = g->url,
        .token = g->token,
        .insecure = g->options->insecure,
        .if_range = "",
        .on_answer = on_probe_answer,
        .on_body = on_probe_body,
        .on_tick = on_probe_tick,
        .user = probe,
    };
    g->failed = PL_OK;
    g->verdict = ANSWER_FAIL;
    enum pl_status status = request_run(&request, result, &g->why);
    if (status != PL_OK)
        return fail(g, status);
    if (g->failed == PL_OK && result->end == TRANSFER_DONE && g->verdict == ANSWER_TAKE)
        return STEP_DONE;
    return judge(g, result);
}

enum pl_status get_probe(struct get *g, struct answer *ret, struct pl_error *err)
{
    struct probe probe = {.get = g};
    struct transfer_result result = {.retry_after_s = -1};
    enum step step = STEP_NOW;
    g->part.fd = -1;
    g->part.have = 0;
    while (step == STEP_NOW || step == STEP_LATER) {
        step = probe_once(&probe, &result);
        if (step == STEP_LATER)
            step = try_later(g, &result);
    }
    if (step != STEP_DONE)
        return pl_error_set(err, g->failed, "%s",
                            g->failed == PL_ECANCELED ? "stopped" : g->why.msg);
    *ret = probe.answer;
    return PL_OK;
}
