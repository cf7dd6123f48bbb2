"""The credentials of a sandbox: created once, kept, completed, and readable by the owner only."""

from pathlib import Path

from sandbox.credentials import load_or_create, write_private


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_or_create(path, ["webhooks"], ["client"])
    assert load_or_create(path, ["webhooks"], ["client"]) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_service_gets_a_password_and_others_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_or_create(path, ["webhooks"], ["client"])
    second = load_or_create(path, ["webhooks", "seats"], ["client", "seats"])
    assert second.database_roles["webhooks"] == first.database_roles["webhooks"]
    assert second.database_roles["seats"] not in ("", first.database_roles["webhooks"])
    assert second.stripe_webhook_secret == first.stripe_webhook_secret


def test_passwords_are_words_that_nats_reads_as_words(tmp_path: Path) -> None:
    credentials = load_or_create(tmp_path / "secrets.json", ["webhooks"], ["client"])
    for password in [credentials.database_owner, *credentials.nats_users.values()]:
        assert password.isalnum()
        assert password[0].isalpha()


def test_a_private_file_was_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, {"nats": "nats://…"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
