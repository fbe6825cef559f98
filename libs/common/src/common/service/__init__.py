"""A service as a process: settings, life cycle, runner and command line."""

from common.service.acts import add_act, publish
from common.service.audit_chain import guard_audit
from common.service.cli import service_cli
from common.service.dead_letter_erasure import erase_dead_letters
from common.service.dead_letters import dead_letter_routes
from common.service.erasures import Erase, EraseAll, Erased, Subject, erasure_routes, in_turn
from common.service.files import ReadFile, read_file, watch_files
from common.service.identity_provider import accepted_tokens, trust_provider
from common.service.jobs import PeriodicJob, ReadyGate, every, tell_of_failures
from common.service.lifecycle import Lifecycle
from common.service.queues import LookAtQueues, WaitingQueue, platform_queues, queue, queue_routes
from common.service.repeated_acts import ProposeAutomation, repeated_acts_routes
from common.service.retention import PlatformRetention, RetentionSettings
from common.service.runner import Application, run_service, running
from common.service.settings import Issuer, OwnerSettings, ProcessSettings, ServiceSettings, load_settings, required
from common.service.table_sizes import PLATFORM_TABLES, TableSizes
from common.service.task_failures import apart, in_halves, kept_apart
from common.service.text_erasure import TextPlace, erase_texts
from common.service.tls import Tls
from common.service.verdicts import Verdict, keep_verdict, verdict_routes

__all__ = [
    "PLATFORM_TABLES",
    "Application",
    "Erase",
    "EraseAll",
    "Erased",
    "Issuer",
    "Lifecycle",
    "LookAtQueues",
    "OwnerSettings",
    "PeriodicJob",
    "PlatformRetention",
    "ProcessSettings",
    "ProposeAutomation",
    "ReadFile",
    "ReadyGate",
    "RetentionSettings",
    "ServiceSettings",
    "Subject",
    "TableSizes",
    "TextPlace",
    "Tls",
    "Verdict",
    "WaitingQueue",
    "accepted_tokens",
    "add_act",
    "apart",
    "dead_letter_routes",
    "erase_dead_letters",
    "erase_texts",
    "erasure_routes",
    "every",
    "guard_audit",
    "in_halves",
    "in_turn",
    "keep_verdict",
    "kept_apart",
    "load_settings",
    "platform_queues",
    "publish",
    "queue",
    "queue_routes",
    "read_file",
    "repeated_acts_routes",
    "required",
    "run_service",
    "running",
    "service_cli",
    "tell_of_failures",
    "trust_provider",
    "verdict_routes",
    "watch_files",
]
