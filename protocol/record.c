#include "protocol/record.h"

#include <fastcgi.h>
#include <string.h>

static uint16_t
get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put16(unsigned char *p, uint16_t value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)(value & 0xff);
}

static uint32_t
get32(const unsigned char *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void
put32(unsigned char *p, uint32_t value)
{
	put16(p, (uint16_t)(value >> 16));
	put16(p + 2, (uint16_t)(value & 0xffff));
}

/*
 *	0 1   2      3 ... 7
 *	role  flags  reserved
 */
void
pst_record_begin_decode(const unsigned char bytes[8], struct pst_record_begin *begin)
{
	begin->role = get16(bytes);
	begin->flags = bytes[2];
}

void
pst_record_begin_encode(const struct pst_record_begin *begin, unsigned char bytes[8])
{
	memset(bytes, 0, 8);
	put16(bytes, begin->role);
	bytes[2] = begin->flags;
}

/*
 *	0 1 2 3             4                5 6 7
 *	application status  protocol status  reserved
 */
void
pst_record_end_decode(const unsigned char bytes[8], struct pst_record_end *end)
{
	end->app_status = get32(bytes);
	end->protocol_status = bytes[4];
}

void
pst_record_end_encode(const struct pst_record_end *end, unsigned char bytes[8])
{
	memset(bytes, 0, 8);
	put32(bytes, end->app_status);
	bytes[4] = end->protocol_status;
}

/*
 *	0 1 2 3  4 ... 7
 *	granted  reserved
 */
uint32_t
pst_record_credit_decode(const unsigned char bytes[8])
{
	return get32(bytes);
}

void
pst_record_credit_encode(uint32_t granted, unsigned char bytes[8])
{
	memset(bytes, 0, 8);
	put32(bytes, granted);
}

/*
 *	0 1   2 ... 124
 *	code  reason
 */
unsigned
pst_record_close_decode(const unsigned char bytes[2])
{
	return get16(bytes);
}

void
pst_record_close_encode(unsigned code, unsigned char bytes[2])
{
	put16(bytes, (uint16_t)code);
}

static uint64_t
get64(const unsigned char *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void
put64(unsigned char *p, uint64_t value)
{
	put32(p, (uint32_t)(value >> 32));
	put32(p + 4, (uint32_t)(value & 0xffffffff));
}

/*
 *	0       1     2 ... 7   8 ... 15  16 ... 23
 *	stream  kind  reserved  offset    length
 */
void
pst_record_file_decode(const unsigned char bytes[24], struct pst_record_file *file)
{
	file->stream = bytes[0];
	file->kind = bytes[1];
	file->offset = get64(bytes + 8);
	file->length = get64(bytes + 16);
}

void
pst_record_file_encode(const struct pst_record_file *file, unsigned char bytes[24])
{
	memset(bytes, 0, 8);
	bytes[0] = file->stream;
	bytes[1] = file->kind;
	put64(bytes + 8, file->offset);
	put64(bytes + 16, file->length);
}

/*
 *	0 ... 7   8 ... 15  16 ... 23
 *	CPU time  waited    loop lag
 */
void
pst_record_usage_decode(const unsigned char bytes[24], struct pst_record_usage *usage)
{
	usage->cpu = get64(bytes);
	usage->waited = get64(bytes + 8);
	usage->lag = get64(bytes + 16);
}

void
pst_record_usage_encode(const struct pst_record_usage *usage, unsigned char bytes[24])
{
	put64(bytes, usage->cpu);
	put64(bytes + 8, usage->waited);
	put64(bytes + 16, usage->lag);
}

/*
 *	0 ... 3  4 ... 7
 *	size     reserved
 */
uint32_t
pst_record_memory_decode(const unsigned char bytes[8])
{
	return get32(bytes);
}

void
pst_record_memory_encode(uint32_t size, unsigned char bytes[8])
{
	put32(bytes, size);
	memset(bytes + 4, 0, 4);
}

/*
 *	0 ... 3  4 ... 7  8 ... 15
 *	offset   length   mark
 */
void
pst_record_shared_decode(const unsigned char bytes[16], struct pst_record_shared *shared)
{
	shared->offset = get32(bytes);
	shared->length = get32(bytes + 4);
	shared->mark = get64(bytes + 8);
}

void
pst_record_shared_encode(const struct pst_record_shared *shared, unsigned char bytes[16])
{
	put32(bytes, shared->offset);
	put32(bytes + 4, shared->length);
	put64(bytes + 8, shared->mark);
}

const char *
pst_record_type_name(uint8_t type)
{
	static const char *const names[] = {
	    [FCGI_BEGIN_REQUEST] = "BEGIN_REQUEST",
	    [FCGI_ABORT_REQUEST] = "ABORT_REQUEST",
	    [FCGI_END_REQUEST] = "END_REQUEST",
	    [FCGI_PARAMS] = "PARAMS",
	    [FCGI_STDIN] = "STDIN",
	    [FCGI_STDOUT] = "STDOUT",
	    [FCGI_STDERR] = "STDERR",
	    [FCGI_DATA] = "DATA",
	    [FCGI_GET_VALUES] = "GET_VALUES",
	    [FCGI_GET_VALUES_RESULT] = "GET_VALUES_RESULT",
	    [FCGI_UNKNOWN_TYPE] = "UNKNOWN_TYPE",
	    [PST_RECORD_CREDIT] = "CREDIT",
	    [PST_RECORD_MESSAGE] = "MESSAGE",
	    [PST_RECORD_CLOSE] = "CLOSE",
	    [PST_RECORD_TRAILERS] = "TRAILERS",
	    [PST_RECORD_FILE] = "FILE",
	    [PST_RECORD_USAGE] = "USAGE",
	    [PST_RECORD_DRAIN] = "DRAIN",
	    [PST_RECORD_MEMORY] = "MEMORY",
	    [PST_RECORD_SHARED] = "SHARED",
	};

	if (type >= sizeof names / sizeof names[0] || names[type] == NULL)
		return "unknown";
	return names[type];
}
