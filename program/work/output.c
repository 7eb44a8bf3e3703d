/*
 * work/output.c
 *	  What a command wrote, bounded, and what is made of it.
 */
#include "work/output.h"

#include <jansson.h>
#include <string.h>
#include <sys/wait.h>

#include "base/die.h"

static void
keep_first(Capture *c, const char *bytes, size_t length)
{
	size_t room = c->most - c->kept.length;

	if (length > room)
		c->cut = true;
	text_add_bytes(&c->kept, bytes, length < room ? length : room);
}

static void
keep_last(Capture *c, const char *bytes, size_t length)
{
	size_t extra;

	text_add_bytes(&c->kept, bytes, length);
	if (c->kept.length <= c->most)
		return;
	extra = c->kept.length - c->most;
	memmove(c->kept.data, c->kept.data + extra, c->most + 1);
	c->kept.length = c->most;
	c->cut = true;
}

void
capture_add(Capture *capture, const char *bytes, size_t length)
{
	if (capture->last)
		keep_last(capture, bytes, length);
	else
		keep_first(capture, bytes, length);
}

void
capture_free(Capture *capture)
{
	text_free(&capture->kept);
}

/* Valid JSON that PostgreSQL takes as jsonb too: jansson refuses \u0000 and lone surrogates. */
static bool
is_json(const Text *text)
{
	json_t *value = json_loadb(text_str(text), text->length,
	                           JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);

	json_decref(value);
	return value != NULL;
}

static void
trim_end(Text *text, const char *set)
{
	while (text->length > 0 && strchr(set, text->data[text->length - 1]) != NULL &&
	       text->data[text->length - 1] != '\0')
		text->data[--text->length] = '\0';
}

char *
output_result(Capture *out)
{
	Text clean = {0};
	Text result = {0};

	trim_end(&out->kept, "\r\n");
	if (out->kept.length == 0 && !out->cut)
		return NULL;
	if (!out->cut && is_json(&out->kept))
		return mem_copy(out->kept.data);
	text_add_clean(&clean, text_str(&out->kept), out->kept.length);
	text_add(&result, "{\"output\": ");
	text_add_json(&result, text_str(&clean));
	text_add(&result, out->cut ? ", \"truncated\": true}" : "}");
	text_free(&clean);
	return text_take(&result);
}

char *
output_error(int status, Capture *err)
{
	Text error = {0};

	if (WIFSIGNALED(status))
		text_addf(&error, "killed by signal %d (%s)", WTERMSIG(status),
		          strsignal(WTERMSIG(status)));
	else
		text_addf(&error, "exit status %d", WEXITSTATUS(status));
	trim_end(&err->kept, " \t\r\n");
	if (err->kept.length > 0)
	{
		text_add(&error, err->cut ? ": ..." : ": ");
		text_add_clean(&error, err->kept.data, err->kept.length);
	}
	return text_take(&error);
}
