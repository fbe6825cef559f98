"""The HTTP kit: a service's entry point is a table of routes, everything around them is the same everywhere."""

from common.http import audit
from common.http.app import build_app, describe
from common.http.audit import AdminChange, audit_routes
from common.http.auth import ADMIN, INTERNAL, OPERATOR, VIEWER, Principal, TokenBook
from common.http.bulk import BULK_ERRORS, Bulk, BulkAnswer, BulkChange, BulkDone, BulkFilter, BulkItem, RowId, UuidText
from common.http.certificates import Authorities, ServerCertificate
from common.http.changes import Change, ChangeAnswer, Changes, Done, DoneElsewhere, NotDone
from common.http.client import Calling, new_session, outgoing_headers, retry_after, tracing_config
from common.http.customers import CONTACT, CONTENT, NAME, CustomersData, masked
from common.http.deadline import TIMEOUT_HEADER, timeout_header, timeout_of
from common.http.fields import JsonObject, Moment, PlainDecimal, TraceId
from common.http.idempotency import Attempt, IdempotencyKeyReused, forget_keys, idempotent, once
from common.http.identity_provider import LEEWAY_S, IdentityProvider, ProviderUnavailable, UntrustedTokenError
from common.http.openapi import openapi_document
from common.http.pages import (
    Page,
    PageQuery,
    Select,
    decode_cursor,
    encode_cursor,
    listed,
    one_listed,
    page_of,
    stamped_cursor,
)
from common.http.plans import forget_plans
from common.http.problems import InvalidCursor, Problem, UnknownParameter, UnsupportedMediaType, problem, problem_of
from common.http.provider_tokens import ProviderTokens
from common.http.routes import BEARER, Answer, Proof, Reply, Request, Route, change_route, read_route
from common.http.server import HttpServer
from common.http.spellings import other_spellings

__all__ = [
    "ADMIN",
    "BEARER",
    "BULK_ERRORS",
    "CONTACT",
    "CONTENT",
    "INTERNAL",
    "LEEWAY_S",
    "NAME",
    "OPERATOR",
    "TIMEOUT_HEADER",
    "VIEWER",
    "AdminChange",
    "Answer",
    "Attempt",
    "Authorities",
    "Bulk",
    "BulkAnswer",
    "BulkChange",
    "BulkDone",
    "BulkFilter",
    "BulkItem",
    "Calling",
    "Change",
    "ChangeAnswer",
    "Changes",
    "CustomersData",
    "Done",
    "DoneElsewhere",
    "HttpServer",
    "IdempotencyKeyReused",
    "IdentityProvider",
    "InvalidCursor",
    "JsonObject",
    "Moment",
    "NotDone",
    "Page",
    "PageQuery",
    "PlainDecimal",
    "Principal",
    "Problem",
    "Proof",
    "ProviderTokens",
    "ProviderUnavailable",
    "Reply",
    "Request",
    "Route",
    "RowId",
    "Select",
    "ServerCertificate",
    "TokenBook",
    "TraceId",
    "UnknownParameter",
    "UnsupportedMediaType",
    "UntrustedTokenError",
    "UuidText",
    "audit",
    "audit_routes",
    "build_app",
    "change_route",
    "decode_cursor",
    "describe",
    "encode_cursor",
    "forget_keys",
    "forget_plans",
    "idempotent",
    "listed",
    "masked",
    "new_session",
    "once",
    "one_listed",
    "openapi_document",
    "other_spellings",
    "outgoing_headers",
    "page_of",
    "problem",
    "problem_of",
    "read_route",
    "retry_after",
    "stamped_cursor",
    "timeout_header",
    "timeout_of",
    "tracing_config",
]
