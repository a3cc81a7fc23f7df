/*
 * The FastCGI record header and the fixed bodies (FastCGI 1.0, sections 3.3, 4, 5).
 * Numbers come from libfcgi's <fastcgi.h>; bytes are taken apart one by one.
 */
#ifndef PST_PROTOCOL_RECORD_H
#define PST_PROTOCOL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define PST_RECORD_HEADER_LEN  8
#define PST_RECORD_MAX_CONTENT 65535
#define PST_RECORD_MAX_PADDING 255

struct pst_record {
	uint8_t version;
	uint8_t type;
	uint16_t id; /* 0: a management record */
	uint16_t content;
	uint8_t padding;
};

/* Penstock's own types: PROTOCOL.md, "Extensions". */
enum pst_record_extension {
	PST_RECORD_CREDIT = 64,
	PST_RECORD_MESSAGE = 65,
	PST_RECORD_CLOSE = 66,
	PST_RECORD_TRAILERS = 67,
	PST_RECORD_FILE = 68,
	PST_RECORD_USAGE = 69,
	PST_RECORD_DRAIN = 70,
	PST_RECORD_MEMORY = 71,
	PST_RECORD_SHARED = 72,
};

/* The bit of BEGIN_REQUEST's flags that says: this request may use extensions. */
#define PST_RECORD_EXTENDED 0x80

/* FCGI_BeginRequestBody. */
struct pst_record_begin {
	uint16_t role;
	uint8_t flags;
};

/* FCGI_EndRequestBody. */
struct pst_record_end {
	uint32_t app_status;
	uint8_t protocol_status;
};

/*
 * Take apart the eight bytes of a record header. Any bytes are accepted; the caller judges. Inline,
 * as is its counterpart: there are some for each request.
 *
 *	0        1      2 3   4 5            6        7
 *	version  type   id    content length padding  reserved
 */
static inline void
pst_record_decode(const unsigned char bytes[8], struct pst_record *record)
{
	record->version = bytes[0];
	record->type = bytes[1];
	record->id = (uint16_t)(bytes[2] << 8 | bytes[3]);
	record->content = (uint16_t)(bytes[4] << 8 | bytes[5]);
	record->padding = bytes[6];
}

static inline void
pst_record_encode(const struct pst_record *record, unsigned char bytes[8])
{
	bytes[0] = record->version;
	bytes[1] = record->type;
	bytes[2] = (unsigned char)(record->id >> 8);
	bytes[3] = (unsigned char)(record->id & 0xff);
	bytes[4] = (unsigned char)(record->content >> 8);
	bytes[5] = (unsigned char)(record->content & 0xff);
	bytes[6] = record->padding;
	bytes[7] = 0;
}

/* The same for the eight-byte bodies; reserved bytes are ignored and written as 0. */
void pst_record_begin_decode(const unsigned char bytes[8], struct pst_record_begin *begin);
void pst_record_begin_encode(const struct pst_record_begin *begin, unsigned char bytes[8]);
void pst_record_end_decode(const unsigned char bytes[8], struct pst_record_end *end);
void pst_record_end_encode(const struct pst_record_end *end, unsigned char bytes[8]);

/* CREDIT: the bytes granted; reserved bytes as above. */
uint32_t pst_record_credit_decode(const unsigned char bytes[8]);
void pst_record_credit_encode(uint32_t granted, unsigned char bytes[8]);

/* MESSAGE begins with these bytes: flags, reserved. */
#define PST_RECORD_MESSAGE_HEAD 4

/* CLOSE: a code, then up to so many bytes of reason. */
#define PST_RECORD_CLOSE_HEAD   2
#define PST_RECORD_CLOSE_REASON 123
void pst_record_close_encode(unsigned code, unsigned char bytes[2]);
unsigned pst_record_close_decode(const unsigned char bytes[2]);

/* FILE. */
#define PST_RECORD_FILE_LEN 24
struct pst_record_file {
	uint8_t stream; /* the type of that stream's records */
	uint8_t kind; /* PST_RECORD_FILE_DESCRIPTOR */
	uint64_t offset;
	uint64_t length;
};
#define PST_RECORD_FILE_DESCRIPTOR 1
void pst_record_file_decode(const unsigned char bytes[24], struct pst_record_file *file);
void pst_record_file_encode(const struct pst_record_file *file, unsigned char bytes[24]);

/* USAGE: microseconds. */
#define PST_RECORD_USAGE_LEN 24
struct pst_record_usage {
	uint64_t cpu;
	uint64_t waited;
	uint64_t lag;
};
void pst_record_usage_decode(const unsigned char bytes[24], struct pst_record_usage *usage);
void pst_record_usage_encode(const struct pst_record_usage *usage, unsigned char bytes[24]);

/* MEMORY: its size. */
uint32_t pst_record_memory_decode(const unsigned char bytes[8]);
void pst_record_memory_encode(uint32_t size, unsigned char bytes[8]);

/* SHARED. */
#define PST_RECORD_SHARED_LEN 16
struct pst_record_shared {
	uint32_t offset;
	uint32_t length;
	uint64_t mark;
};
void pst_record_shared_decode(const unsigned char bytes[16], struct pst_record_shared *shared);
void pst_record_shared_encode(const struct pst_record_shared *shared, unsigned char bytes[16]);

/* "STDIN", "GET_VALUES" ...; "type 99" style names are not made: unknown types give "unknown". */
const char *pst_record_type_name(uint8_t type);

#endif
