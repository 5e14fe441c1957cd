"""A system without a mock of its own is a stateful mock all the same, by its paths and schemas alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.server import Server

SPEC = """
    openapi: 3.0.3
    info: {title: Library, version: "1"}
    paths:
      /books:
        get:
          operationId: list_books
          parameters:
            - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 20}}
            - {name: cursor, in: query, schema: {type: string}}
            - {name: genre, in: query, schema: {$ref: "#/components/schemas/Genre"}}
            - {name: lent, in: query, schema: {type: boolean}}
            - {name: pages, in: query, schema: {type: integer}}
          responses:
            "200":
              description: books
              headers: {Link: {schema: {type: string}}}
              content:
                application/json:
                  schema:
                    type: object
                    required: [books]
                    properties: {books: {type: array, items: {$ref: "#/components/schemas/Book"}}}
        post:
          operationId: add_book
          requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/NewBook"}}}}
          responses:
            "201":
              description: added
              headers: {Location: {schema: {type: string}}, ETag: {schema: {type: string}}}
              content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}
            default: {description: no}
      /books/{book-id}:
        parameters: [{name: book-id, in: path, required: true, schema: {type: integer}}]
        get:
          operationId: read_book
          responses: {"200": {$ref: "#/components/responses/Book"}, default: {description: no}}
        put:
          operationId: replace_book
          parameters: [{name: If-Match, in: header, schema: {type: string}}]
          requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/NewBook"}}}}
          responses: {"200": {$ref: "#/components/responses/Book"}, default: {description: no}}
        patch:
          operationId: change_book
          requestBody: {required: true, content: {application/json: {schema: {type: object}}}}
          responses: {"200": {$ref: "#/components/responses/Book"}, default: {description: no}}
        delete: {operationId: remove_book, responses: {"204": {description: gone}, default: {description: no}}}
      /readers:
        get:
          operationId: list_readers
          responses:
            "200":
              description: readers
              content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Reader"}}}}
        post:
          operationId: add_reader
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/NewReader"}}}}
          responses:
            "201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Reader"}}}}
      /readers/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
        get:
          operationId: read_reader
          responses:
            "200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Reader"}}}}
        put:
          operationId: replace_reader
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Reader"}}}}
          responses:
            "200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Reader"}}}}
      /readers/{id}/loans:
        parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
        post:
          operationId: lend
          requestBody: {content: {application/json: {schema: {type: object, properties: {book: {type: string}}}}}}
          responses:
            "201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Loan"}}}}
        get:
          operationId: list_loans
          responses:
            "200":
              description: ok
              content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Loan"}}}}
      /shelves:
        post:
          operationId: build_shelf
          requestBody: {content: {application/json: {schema: {}}}}
          responses: {"201": {description: built, content: {application/json: {schema: {type: object}}}}}
      /reports/yearly:
        post: {operationId: make_report, responses: {"200": {description: ok}}}
    components:
      responses:
        Book:
          description: a book
          headers: {ETag: {schema: {type: string}}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Book"}}}
      schemas:
        Genre: {type: string, enum: [novel, poetry, essay]}
        NewBook:
          type: object
          required: [title]
          properties:
            title: {type: string, minLength: 1, maxLength: 100}
            pages: {type: integer, minimum: 1}
            genre: {$ref: "#/components/schemas/Genre"}
            subtitle: {type: string, nullable: true}
            author: {$ref: "#/components/schemas/Author"}
            isbn: {type: string, readOnly: true}
        Author: {type: object, required: [name], properties: {name: {type: string, minLength: 2}}}
        Book:
          allOf:
            - $ref: "#/components/schemas/NewBook"
            - type: object
              required: [book-id, pages, genre, subtitle, author, lent, shelf, tags, created_at, updated_at]
              properties:
                book-id: {type: integer, readOnly: true}
                lent: {type: boolean, readOnly: true}
                shelf: {type: object, required: [room], properties: {room: {type: integer, minimum: 3}}, readOnly: true}
                tags: {type: array, items: {type: string}, readOnly: true}
                created_at: {type: string, format: date-time, readOnly: true}
                updated_at: {type: string, format: date-time, readOnly: true}
        NewReader:
          type: object
          required: [name]
          properties: {id: {type: string, format: uuid}, name: {type: string}, email: {type: string, format: email}}
        Reader:
          type: object
          required: [id, name]
          properties:
            id: {type: string, format: uuid}
            name: {type: string}
            email: {type: string, format: email}
        Loan:
          type: object
          required: [loan_id, id, book]
          properties: {loan_id: {type: string}, id: {type: string}, book: {type: string}}
"""


class Library:
    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.session = sandbox.session()
        self.url = sandbox.access(world).systems["jobs"]["url"]
        self.world = sandbox.world(world)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, self.url + path, json=body, headers=sent)

    def add(self, **book: Any) -> Any:
        answer = self.call("POST", "/books", {"title": "Emma", **book})
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def sandbox(make_project: Callable[..., Path]) -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(make_project(SPEC)))
    yield sandbox
    sandbox.close()


@pytest.fixture
def library(sandbox: InProcess, world_name: str) -> Library:
    return Library(sandbox, world_name)


def test_create_and_read(library: Library) -> None:
    created = library.call("POST", "/books", {"title": "Emma", "pages": 474, "genre": "novel"})
    assert created.status_code == 201
    book = created.json()
    assert {"title": "Emma", "pages": 474, "genre": "novel"}.items() <= book.items()
    assert created.headers["Location"].endswith(f"/jobs/books/{book['book-id']}")
    read = library.call("GET", f"/books/{book['book-id']}")
    assert (read.status_code, read.json()) == (200, book)
    assert read.headers["ETag"] == created.headers["ETag"]


def test_answers_have_the_shape_of_their_schema(library: Library) -> None:
    """What the answer requires and nobody sent is made up: by reference, by `allOf`, nested, nullable."""
    book = library.add()
    assert isinstance(book["book-id"], int)
    assert book["genre"] in ("novel", "poetry", "essay")
    assert isinstance(book["pages"], int)
    assert len(book["author"]["name"]) >= 2
    assert book["shelf"]["room"] >= 3
    assert isinstance(book["lent"], bool)
    assert isinstance(book["tags"], list)
    assert book["created_at"] == book["updated_at"]
    assert "isbn" not in book


def test_ids_are_numbers_where_the_schema_says_so(library: Library) -> None:
    first, second = library.add(), library.add(title="Persuasion")
    assert second["book-id"] == first["book-id"] + 1
    library.call("DELETE", f"/books/{second['book-id']}")
    assert library.add()["book-id"] > second["book-id"]


def test_ids_are_uuids_where_the_schema_says_so(library: Library) -> None:
    made = library.call("POST", "/readers", {"name": "Eve"}).json()["id"]
    assert uuid.UUID(made).version == 4
    assert library.call("GET", f"/readers/{made}").json() == {"id": made, "name": "Eve"}
    own = str(uuid.UUID(int=7))
    assert library.call("POST", "/readers", {"id": own, "name": "Ada"}).json()["id"] == own
    assert library.call("GET", f"/readers/{own}").json()["name"] == "Ada"
    again = library.call("POST", "/readers", {"id": own, "name": "Bea"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-exists")


def test_list(library: Library) -> None:
    assert library.call("GET", "/books").json() == {"books": []}
    books = [library.add(title=f"Book {number}", genre="poetry" if number % 2 else "essay") for number in range(5)]
    assert library.call("GET", "/books").json() == {"books": books}
    assert library.call("GET", "/books?genre=poetry").json() == {"books": books[1::2]}
    assert library.call("GET", f"/books?lent={str(books[0]['lent']).lower()}&limit=1").json() == {"books": books[:1]}
    assert library.call("GET", f"/books?pages={books[0]['pages']}").json()["books"][0] == books[0]
    assert library.call("GET", "/books?genre=drama").status_code == 400
    page = library.call("GET", "/books?limit=3")
    assert (len(page.json()["books"]), "next" in page.headers["Link"]) == (3, True)


def test_bare_list(library: Library) -> None:
    assert library.call("GET", "/readers").json() == []


def test_replace(library: Library) -> None:
    book = library.add(pages=474, subtitle="A novel")
    path = f"/books/{book['book-id']}"
    replaced = library.call("PUT", path, {"title": "Emma, again"}).json()
    assert replaced["title"] == "Emma, again"
    # What is the server's stays, and what no answer may lack stays as it was.
    for name in ("book-id", "created_at", "lent", "shelf", "tags", "genre", "author", "pages"):
        assert replaced[name] == book[name]
    assert library.call("GET", path).json() == replaced


def test_replace_is_idempotent(library: Library) -> None:
    first = library.call("POST", "/books", {"title": "Emma"})
    path, tag = f"/books/{first.json()['book-id']}", first.headers["ETag"]
    one = library.call("PUT", path, {"title": "Lost"}, If_Match=tag)
    two = library.call("PUT", path, {"title": "Lost"}, If_Match=tag)
    assert (one.status_code, two.status_code) == (200, 200)
    assert one.json() == two.json()
    assert one.headers["ETag"] == two.headers["ETag"] != tag
    assert library.call("PUT", path, {"title": "Other"}, If_Match=tag).status_code == 412


def test_replace_drops_what_is_not_sent(library: Library) -> None:
    own = str(uuid.UUID(int=8))
    library.call("POST", "/readers", {"id": own, "name": "Ada", "email": "ada@example.com"}).raise_for_status()
    replaced = library.call("PUT", f"/readers/{own}", {"id": own, "name": "Ada"})
    assert replaced.json() == {"id": own, "name": "Ada"}


def test_the_path_says_which_record_it_is(library: Library) -> None:
    one, two = (str(uuid.UUID(int=number)) for number in (1, 2))
    for number, name in ((one, "Ada"), (two, "Bea")):
        library.call("POST", "/readers", {"id": number, "name": name}).raise_for_status()
    answer = library.call("PUT", f"/readers/{one}", {"id": two, "name": "Cleo"})
    assert answer.json() == {"id": one, "name": "Cleo"}
    assert library.call("GET", f"/readers/{two}").json()["name"] == "Bea"


def test_patch(library: Library) -> None:
    book = library.add(pages=474, subtitle="A novel", author={"name": "Jane"})
    path = f"/books/{book['book-id']}"
    patched = library.call("PATCH", path, {"pages": 500, "author": {"born": 1775}}).json()
    assert patched == book | {
        "pages": 500,
        "author": {"name": "Jane", "born": 1775},
        "updated_at": patched["updated_at"],
    }
    assert library.call("PATCH", path, {"subtitle": None}).json()["subtitle"] is None
    assert library.call("PATCH", path, {"book-id": 999}).json()["book-id"] == book["book-id"]
    refused = library.call("PATCH", path, {"title": None})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/title")
    assert library.call("GET", path).json()["title"] == "Emma"


def test_gone_after_delete(library: Library) -> None:
    path = f"/books/{library.add()['book-id']}"
    assert library.call("DELETE", path).status_code == 204
    for method, body in (("GET", None), ("PUT", {"title": "x"}), ("PATCH", {}), ("DELETE", None)):
        answer = library.call(method, path, body)
        assert (method, answer.status_code) == (method, 404)
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert library.call("GET", "/books").json() == {"books": []}


def test_read_only_fields_are_the_servers(library: Library) -> None:
    """Although the request's schema does not know them, and so does not forbid them."""
    made = library.add(**{"book-id": 999, "lent": "perhaps", "created_at": "yesterday"})
    assert made["book-id"] != 999
    assert isinstance(made["lent"], bool)
    path = f"/books/{made['book-id']}"
    assert library.call("PATCH", path, {"lent": "perhaps"}).json()["lent"] == made["lent"]
    assert library.call("PUT", path, {"title": "x", "lent": "perhaps"}).json()["lent"] == made["lent"]


@pytest.mark.parametrize("body", [{"pages": "many"}, {"genre": "drama"}, {"title": 7}, {"author": {"name": 7}}])
def test_no_body_makes_a_record_that_cannot_be_answered(library: Library, body: Any) -> None:
    """The request's schema is an open object here, the record's is not."""
    book = library.add()
    answer = library.call("PATCH", f"/books/{book['book-id']}", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{next(iter(body))}")
    assert library.call("GET", f"/books/{book['book-id']}").json() == book


@pytest.mark.parametrize("body", [[], "text", 7, True])
def test_what_is_no_object_is_no_record(library: Library, body: Any) -> None:
    answer = library.call("POST", "/shelves", body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_body_may_be_missing_where_it_is_optional(library: Library) -> None:
    assert library.call("POST", "/shelves").status_code == 201


def test_nested_collection(library: Library) -> None:
    one, two = (str(uuid.UUID(int=number)) for number in (3, 4))
    for number in (one, two):
        library.call("POST", "/readers", {"id": number, "name": "Ada"}).raise_for_status()
    loan = library.call("POST", f"/readers/{one}/loans", {"book": "Emma"})
    assert (loan.status_code, loan.json()["book"]) == (201, "Emma")
    assert library.call("GET", f"/readers/{one}/loans").json() == [loan.json()]
    assert library.call("GET", f"/readers/{two}/loans").json() == []
    assert library.call("POST", f"/readers/{uuid.UUID(int=5)}/loans", {"book": "x"}).status_code == 404


def test_what_has_no_meaning_answers_as_declared(library: Library) -> None:
    answer = library.call("POST", "/reports/yearly")
    assert (answer.status_code, answer.content) == (200, b"")
    assert not library.world.entries()[-1]["changes"]


def test_seeded(sandbox: InProcess) -> None:
    books = [Library(sandbox, name).add() for name in ("seeded-1", "seeded-2")]
    assert books[0]["author"] == books[1]["author"]


def test_the_journal_tells(library: Library) -> None:
    book = library.add()
    library.call("DELETE", f"/books/{book['book-id']}")
    changes = [entry["changes"] for entry in library.world.entries()]
    identifier = str(book["book-id"])
    assert changes == [[{"action": action, "collection": "books", "id": identifier}] for action in ("create", "delete")]


def test_over_sockets(make_project: Callable[..., Path], caller: Callable[..., Any]) -> None:
    with Server(Project.load(make_project(SPEC)), port=0).running() as server:
        reader = type(caller("unused"))(server, "default")
        made = reader.call("jobs", "POST", "/books", {"title": "Emma"})
        assert made.status_code == 201
        target = server.url + made.headers["location"]
        assert reader.http.get(target).json() == made.json()
        assert reader.http.delete(target).status_code == 204
        assert reader.http.get(target).status_code == 404
        reader.http.close()
