// What Swift cannot say of libcurl: its variadic functions with their types, and an address out of its socket structure.

#ifndef CCURL_H
#define CCURL_H

#include <stddef.h>
#include <curl/curl.h>

CURLcode ccurl_set_long(CURL *easy, CURLoption option, long value);
CURLcode ccurl_set_string(CURL *easy, CURLoption option, const char *value);
CURLcode ccurl_set_list(CURL *easy, CURLoption option, struct curl_slist *value);
CURLcode ccurl_set_debug(CURL *easy, curl_debug_callback callback, void *context);
CURLcode ccurl_set_open_socket(CURL *easy, curl_opensocket_callback callback, void *context);
CURLcode ccurl_set_close_socket(CURL *easy, curl_closesocket_callback callback, void *context);
CURLcode ccurl_set_write(CURL *easy, curl_write_callback callback, void *context);
CURLcode ccurl_set_header(CURL *easy, curl_write_callback callback, void *context);
CURLcode ccurl_set_before_request(CURL *easy, curl_prereq_callback callback, void *context);

CURLcode ccurl_get_long(CURL *easy, CURLINFO info, long *value);
CURLcode ccurl_get_offset(CURL *easy, CURLINFO info, curl_off_t *value);
CURLcode ccurl_get_string(CURL *easy, CURLINFO info, const char **value);
CURLcode ccurl_get_socket(CURL *easy, CURLINFO info, curl_socket_t *value);

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value);
CURLMcode ccurl_multi_set_socket_function(CURLM *multi, curl_socket_callback callback, void *context);
CURLMcode ccurl_multi_set_timer_function(CURLM *multi, curl_multi_timer_callback callback, void *context);

/// The next finished transfer: its handle, and its result in `*result`. Null when there is none.
CURL *ccurl_multi_next_finished(CURLM *multi, CURLcode *result);

/// Writes the address as digits into `text`, always terminated; empty when it has no such form.
void ccurl_numeric_address(const struct curl_sockaddr *address, char *text, size_t capacity);

#endif
