"""Tickets of problems and requests: built in, or in Yandex Tracker."""
