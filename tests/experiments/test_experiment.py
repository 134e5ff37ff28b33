"""`Experiment` and `Sheet`: variations are drawn as one batch, each bought once, and kept by name."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser

import pytest
from langchain_core.runnables import RunnableLambda

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageGenerationError, OptionError
from langchain_imagegen.experiments import Experiment, Sheet
from langchain_imagegen.experiments.contact_sheet import edge_for
from langchain_imagegen.simulator import faults

LOW = {"quality": "low", "size": "816x816"}
JPEG = {"output_format": "jpeg"}


def test_a_grid_is_drawn_and_labelled(run, draw, simulator):
    """Each prompt is drawn with each of the options, `n` times: prompts in rows, the rest in columns."""
    plan = Experiment("grid", prompts=["draw a fox", "draw an owl"], options=[LOW, {"quality": "medium"}], n=2)
    sheet = run(plan, draw)

    assert simulator.pictures == len(plan) == len(sheet) == 8
    assert sheet.layout.rows == ["draw a fox", "draw an owl"]
    assert list(sheet.cells) == ["A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"]
    assert sheet["B4"].image.prompt == "draw an owl"
    assert sheet["b4"].image.quality == "medium"
    assert sheet["A1"].seconds > 0


def test_models_and_sources_vary(run, draw):
    """Image models and the pictures to edit are varied too; several pictures go into one edit."""
    one, two = draw.invoke("draw a fox"), draw.invoke("draw an owl")
    models = ["gpt-image-2.5-flare", "gpt-image-2"]
    plan = Experiment("edits", prompts="combine", models=models, sources=[one, [one, two]])
    sheet = run(plan, draw)

    assert len(sheet) == 4
    assert {cell.image.image_model for cell in sheet} == set(models)
    assert sorted(len(cell.result.sources) for cell in sheet) == [1, 1, 2, 2]


def test_a_list_of_variations(run, draw):
    """Variations can be listed: prompts, or dicts of a prompt and options."""
    sheet = run(Experiment("list", variations=["draw a fox", {"prompt": "draw an owl", "quality": "medium"}]), draw)

    assert [cell.image.prompt for cell in sheet] == ["draw a fox", "draw an owl"]
    assert len({cell.name for cell in sheet}) == 2


def test_a_single_one_needs_no_list(draw):
    """One prompt, one dict of options, one model, one source or one variation is given without a list."""
    fox = draw.invoke("draw a fox")
    plan = Experiment("one", prompts="make it winter", options=LOW, models="gpt-image-2", sources=fox)

    assert [each.options for each in plan.variations] == [LOW | {"model": "gpt-image-2"}]
    assert plan.variations[0].images == (fox,)
    assert [each.prompt for each in Experiment("one", variations="draw an owl").variations] == ["draw an owl"]


def test_a_cell_shows_itself(run, draw, simulator):
    """A cell shows its picture, or why there is none, and is short as text."""
    simulator.script(faults.moderated("input", ["violence"]))
    sheet = run(Experiment("foxes", prompts=["draw <b>", "draw an owl"]), draw, max_concurrency=1)
    (failed,) = sheet.failed
    name = "A1" if failed.name == "A2" else "A2"  # async batches begin in any order
    drawn = sheet.pick(name, rating=4)[name]

    assert "ModerationError" in failed._repr_mimebundle_()["text/html"]
    assert drawn._repr_mimebundle_().keys() == drawn.image._repr_mimebundle_().keys()
    assert repr(drawn).startswith(f"Cell('{name}', handle='{drawn.image.handle}', ")
    assert repr(drawn).endswith("picked=True, rating=4.0)")


def test_a_rerun_buys_only_what_is_missing(run, draw, simulator):
    """A rerun buys nothing, a larger plan only its new cells; ratings and notes stay."""
    run(Experiment("foxes", prompts=["draw a fox"], n=2), draw).pick("A1", rating=5).note("A1", "good eyes")
    assert simulator.pictures == 2

    again = run(Experiment("foxes", prompts=["draw a fox"], n=2), draw)
    assert simulator.pictures == 2
    assert again["A1"].rating == 5

    larger = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"], n=2), draw)
    assert simulator.pictures == 4
    assert larger["A1"].notes == ["good eyes"]
    assert [cell.name for cell in larger.picked] == ["A1"]


def test_a_lost_sheet_is_found_by_the_ledger(run, draw, simulator):
    """If a kernel dies before the sheet is saved, the ledger has the pictures; nothing is bought again."""
    first = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"]), draw)
    first.delete()

    again = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"]), draw)
    assert simulator.pictures == 2
    assert all(cell.result.from_ledger for cell in again)


def test_other_settings_of_the_generator_are_another_drawing(run, low, simulator):
    """A cell counts as drawn only if provider, mainline model and options were the same."""
    run(Experiment("foxes", prompts=["draw a fox"]), low())
    run(Experiment("foxes", prompts=["draw a fox"]), low(model="gpt-5.4-mini"))
    assert simulator.pictures == 2

    run(Experiment("foxes", prompts=["draw a fox"]), low(base_url=simulator.base_url.replace("127.0.0.1", "localhost")))
    assert simulator.pictures == 3


@pytest.mark.parametrize(
    "setting",
    [
        {"api": "images"},
        {"instructions": "always draw in blue"},
        {"reasoning": {"effort": "low"}},
        {"tool_choice": "auto"},
        {"model_kwargs": {"service_tier": "flex"}},
    ],
)
def test_what_is_sent_besides_the_options_is_another_drawing(run, low, simulator, setting):
    """A setting that changes the request draws anew; with the earlier setting the earlier picture is there again."""
    plan = Experiment("foxes", prompts=["draw a fox"])
    first = run(plan, low())
    run(plan, low(**setting))
    assert simulator.pictures == 2

    assert run(plan, low())["A1"].image.id == first["A1"].image.id
    assert simulator.pictures == 2


def test_bound_options_count(run, draw, simulator):
    """What is bound to the generator is drawn, priced, limited and told from what is drawn without it."""
    plan = Experiment("foxes", prompts=["draw a fox"])
    bound = draw.bind(quality="high", size="1536x1024", instructions="in blue").with_config(tags=["experiment"])
    assert plan.estimate(bound).total > plan.estimate(draw).total
    with pytest.raises(OptionError, match=r"above max_cost='\$0.06'"):
        run(plan, bound, max_cost="$0.06")
    assert simulator.pictures == 0

    image = run(plan, bound)["A1"].image
    assert (image.quality, image.size) == ("high", "1536x1024")
    assert simulator.requests[-1].body["instructions"] == "in blue"
    assert run(plan, draw)["A1"].image.quality == "low"
    assert run(plan, bound)["A1"].image.id == image.id
    assert simulator.pictures == 2


def test_what_all_cells_would_share_cannot_be_bound(run, draw, simulator):
    """A prompt, pictures or a name for the ledger that are bound to the generator are refused."""
    with pytest.raises(OptionError, match="'images' and 'once' cannot be bound"):
        run(Experiment("foxes", prompts=["draw a fox"]), draw.bind(images=["last"], once="poster"))
    assert simulator.requests == []


def test_a_failure_is_a_cell(run, draw, simulator):
    """A refused picture is a cell with its reason; the others are drawn, and a rerun tries it again."""
    simulator.script(faults.moderated("input", ["violence"]))
    sheet = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"]), draw, max_concurrency=1)

    (failed,) = sheet.failed
    assert failed.error.kind == "ModerationError"
    assert failed.error.categories == ("violence",)
    with pytest.raises(ImageGenerationError, match=failed.name):
        failed.image  # noqa: B018 - it raises
    assert simulator.pictures == 1

    again = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"]), draw)
    assert not again.failed
    assert simulator.pictures == 2


def test_the_price_is_said_first(run, draw, capsys):
    """Before anything is drawn, the number of pictures and their estimated price are written."""
    run(Experiment("foxes", prompts=["draw a fox"], n=3), draw, progress=True)
    said = capsys.readouterr().err
    assert re.match(r"foxes: 3 pictures; they cost at most \$0\.\d+", said)

    run(Experiment("foxes", prompts=["draw a fox"], n=4), draw, progress=True)
    assert "4 pictures, 3 of them drawn before; the other 1 costs at most $" in capsys.readouterr().err


def test_max_cost_refuses_before_anything_is_bought(run, draw, simulator):
    """An estimate above `max_cost` is an error that says what to do; what is drawn already does not count."""
    dear = Experiment("dear", prompts=["draw a fox"], options=[{"quality": "high"}], n=3)
    with pytest.raises(OptionError, match=r"above max_cost='\$0.10': vary less, ask for low quality, or raise"):
        run(dear, draw, max_cost="$0.10")
    assert simulator.pictures == 0

    run(dear, draw, max_cost=9)
    run(dear, draw, max_cost="$0")
    assert simulator.pictures == 3
    with pytest.raises(OptionError, match="it takes dollars"):
        run(Experiment("x", prompts=["draw"]), draw, max_cost="cheap")
    with pytest.raises(OptionError, match="it takes dollars"):
        run(dear, draw, max_cost="cheap")  # nothing is missing


def test_an_unknown_price_cannot_be_limited(run, draw, simulator):
    """Where no price is known, `max_cost` is refused with the reason."""
    with pytest.raises(OptionError, match="cannot be kept"):
        run(Experiment("new", prompts=["draw a fox"], models=["gpt-image-9"]), draw, max_cost="$1")
    assert simulator.pictures == 0


def test_a_sheet_is_loaded_by_name(run, draw, image_store):
    """Another kernel loads a sheet by its name, with pictures, ratings and notes; a misspelt name is corrected."""
    sheet = run(Experiment("red foxes", prompts=["draw a fox", "draw an owl"]), draw)
    sheet.rate("A2", 3.5).note("A1", "too dark").note("A1", "but sharp").note("A1", "too dark")
    with pytest.raises(OptionError, match="rating='good'"):
        sheet.rate("A2", "good")

    loaded = Sheet.load("red foxes", image_store=ImageStore(image_store.location))
    assert loaded["A1"].notes == ["too dark", "but sharp"]
    assert loaded["A2"].rating == 3.5
    assert loaded["A1"].image.read() == sheet["A1"].image.read()
    assert asyncio.run(Sheet.aload("red foxes", image_store=image_store)).to_records() == sheet.to_records()
    with pytest.raises(OptionError, match="did you mean 'red foxes'"):
        Sheet.load("red fox", image_store=image_store)


def test_picked_cells_are_edited_further(run, draw):
    """`edit` makes an experiment whose sources are the picked pictures."""
    sheet = run(Experiment("foxes", prompts=["draw a fox", "draw an owl"]), draw).pick("A1", "A2")
    winter = run(sheet.unpick("A2").edit("make it winter", "make it night"), draw)

    assert [cell.image.parents for cell in winter] == [(sheet["A1"].image.id,)] * 2
    assert winter.name == "foxes: make it winter"
    with pytest.raises(OptionError, match="pick"):
        sheet.unpick("A1").edit("make it winter")


def test_the_table(run, draw):
    """The table has a row for each cell with what varies, tokens, dollars and seconds; failures say why."""
    sheet = run(Experiment("foxes", prompts=["draw a fox"], options=[LOW, {"quality": "medium"}]), draw)
    table = sheet.pick("A1", rating=4).to_pandas()

    assert list(table["quality"]) == ["low", "medium"]
    assert (table["tokens"] > 0).all()
    assert (table["dollars"] > 0).all()
    assert (table["seconds"] > 0).all()
    assert list(table["picked"]) == [True, False]
    assert float(sheet.cost().total) == pytest.approx(table["dollars"].sum())


def test_a_file_repeats_the_experiment_alone(run, draw, generator, tmp_path, simulator):
    """The file holds pictures and settings: with an empty store and another generator, it draws the same."""
    fox = draw.invoke("draw a fox")
    sheet = run(Experiment("winter", prompts=["make it winter"], sources=[fox]), draw)
    path = sheet.to_file(tmp_path / "winter.json")
    assert sheet.to_file(path).name == "winter-2.json"

    elsewhere = ImageStore(tmp_path / "elsewhere")
    plan = Experiment.from_file(path, image_store=elsewhere)
    other = generator(image_store=elsewhere, model="gpt-5.4-mini", options={"size": "1024x1024", "quality": "high"})
    again = run(plan, other)
    assert again["A1"].key == sheet["A1"].key
    assert (again["A1"].image.size, again["A1"].image.quality) == ("816x816", "low")
    assert simulator.requests[-1].body["model"] == draw.model
    assert plan.estimate(other).total == Experiment("x", prompts="make it winter", sources=[fox]).estimate(draw).total
    assert again["A1"].image.parents == sheet["A1"].image.parents
    assert again["A1"].result.sources[0].read() == fox.image.read()
    assert simulator.pictures == 3
    bound = run(Experiment.from_file(path, image_store=elsewhere), other.bind(size="1024x1536"))
    assert bound["A1"].key == sheet["A1"].key
    (tmp_path / "notes.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(OptionError, match="no record of an experiment"):
        Experiment.from_file(tmp_path / "notes.json", image_store=elsewhere)


def test_a_file_has_the_settings_that_change_the_request(run, low, tmp_path, simulator):
    """A repetition sends the same request, whatever the generator that repeats it is set to."""
    settings = {"instructions": "always draw in blue", "reasoning": {"effort": "low"}, "tool_choice": "auto"}
    of_responses = run(Experiment("foxes", prompts=["draw a fox"]), low(**settings)).to_file(tmp_path / "foxes.json")
    of_images = run(Experiment("owls", prompts=["draw an owl"]), low(api="images")).to_file(tmp_path / "owls.json")

    for path, other in ((of_responses, low(api="images")), (of_images, low(**settings, model="gpt-5.4-mini"))):
        elsewhere = ImageStore(tmp_path / f"store of {path.stem}")
        run(Experiment.from_file(path, image_store=elsewhere), other.model_copy(update={"image_store": elsewhere}))
    responses, images, responses_again, images_again = simulator.requests
    assert (responses_again.path, responses_again.body) == (responses.path, responses.body)
    assert (images_again.path, images_again.body) == (images.path, images.body)
    with pytest.raises(OptionError, match="draws nothing in the background"):
        run(Experiment.from_file(of_images), low(delivery="background"))


def test_keys_do_not_get_into_a_file(run, low, tmp_path):
    """Tools of other services, which may hold keys, are no part of a sheet: neither saved nor written to a file."""
    tool = {"type": "mcp", "server_label": "own", "server_url": "https://mcp.example", "authorization": "secret-key"}
    sheet = run(Experiment("foxes", prompts=["draw a fox"]), low(model_kwargs={"tools": [tool]}))

    assert "secret-key" not in sheet.to_file(tmp_path / "foxes.json").read_text()
    assert not any(b"secret-key" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_folder_of_pictures(run, draw, tmp_path):
    """`export` names files by cell and what varies, writes the table beside them, and overwrites nothing."""
    sheet = run(Experiment("Foxes & owls", prompts=["draw a fox", "=draw/../an owl"], options=[LOW | JPEG]), draw)
    first, second = sheet.export(tmp_path), sheet.export(tmp_path)

    assert [path.name for path in first] == ["A1-draw-a-fox.jpg", "A2-draw-an-owl.jpg"]
    assert [path.name for path in second] == ["A1-draw-a-fox-2.jpg", "A2-draw-an-owl-2.jpg"]
    assert first[0].read_bytes() == sheet["A1"].image.read()
    table = (tmp_path / "foxes-owls.csv").read_text()
    assert "draw a fox" in table
    assert ",'=draw" in table


class Elements(HTMLParser):
    """Collects the elements and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.tags.append(tag)
        self.attributes += attrs


def test_a_contact_sheet_shows_itself_without_scripts(run, draw, simulator, tmp_path):
    """Notebook view and page show each picture; nothing in a prompt, note or error becomes an element."""
    evil = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    simulator.script(faults.moderated("input", ["violence"]))
    sheet = run(Experiment("evil", prompts=[f"draw {evil}", "draw an owl"]), draw, max_concurrency=1)
    sheet.note("A2", evil)

    view = sheet._repr_mimebundle_()
    page = sheet.to_html(tmp_path / "evil.html")
    for html, pictures in ((view["text/html"], 1), (page.read_text(), 1)):
        found = Elements(html)
        assert found.tags.count("img") == pictures
        assert "script" not in found.tags
        assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "Sheet('evil': 1 of 2 drawn, 1 failed" in view["text/plain"]
    assert sheet.to_html(page).name == "evil-2.html"


def test_each_picture_shows_what_was_asked_for(run, draw):
    """Under each picture stands its prompt, also where one prompt is drawn in several ways, and not the revised one."""
    sheet = run(Experiment("foxes", prompts="draw a fox", options=[LOW, {"quality": "medium"}]), draw)
    html = sheet.view().bundle["text/html"]

    assert html.count("<small>draw a fox</small>") == 2
    assert sheet["A1"].image.revised_prompt not in re.sub("<[^>]*>", "", html)


def test_previews_get_smaller_in_a_large_sheet(run, draw):
    """Previews have 512 pixels, fewer in a large sheet, or as many as are asked for; `None` shows the pictures."""
    sheet = run(Experiment("foxes", prompts=["draw a fox"]), draw)
    original, usual, small = (len(sheet.view(edge=edge).bundle["text/html"]) for edge in (None, "auto", 128))

    assert original > usual > small
    assert [edge_for(count) for count in (1, 24, 96, 500)] == [512, 512, 256, 192]
    assert '<th scope="row"' not in sheet.view().bundle["text/html"]  # nothing labels the only row


def test_previews_keep_transparency(run, draw):
    """A transparent picture has a transparent preview on the contact sheet, and no black ground."""
    sheet = run(Experiment("fox", prompts="draw a fox", options=[{"background": "transparent"}]), draw)

    assert 'src="data:image/webp' in sheet._repr_mimebundle_()["text/html"]


def test_cells_are_compared(run, draw):
    """Two cells lie under a slider, more stand side by side; without names the picked ones are compared."""
    sheet = run(Experiment("foxes", prompts=["draw a fox", "draw an owl", "draw a bear"]), draw)

    slider = sheet.compare("A1", "A2")
    assert "resize:horizontal" in slider._repr_mimebundle_()["text/html"]
    assert "resize" not in slider.side_by_side()._repr_mimebundle_()["text/html"]
    three = sheet.pick("A1", "A2", "A3").compare()._repr_mimebundle_()["text/html"]
    assert Elements(three).tags.count("img") == 3
    assert f"<figcaption>A3 · {sheet['A3'].image.handle}</figcaption>" in three
    with pytest.raises(OptionError, match="no cell 'Z9'"):
        sheet.compare("Z9")


@pytest.mark.parametrize(
    ("plan", "hint"),
    [
        ({"prompts": []}, "nothing to draw"),
        ({"prompts": "draw", "n": 0}, "nothing to draw"),
        ({"prompts": "draw", "options": [{"qualty": "low"}]}, "qualty"),
        ({"prompts": "draw", "options": [{"model": "gpt-image-1"}], "models": ["gpt-image-2"]}, "one of them"),
    ],
    ids=["no prompt", "no try", "unknown option", "two models"],
)
def test_bad_plans_are_refused_at_once(plan, hint):
    """A plan that cannot be drawn is an error when it is made."""
    with pytest.raises(OptionError, match=hint):
        Experiment("bad", **plan)


def test_a_name_is_needed():
    """A sheet is kept by name, so an empty one is refused."""
    with pytest.raises(OptionError, match="names no experiment"):
        Experiment(" ", prompts="draw a fox")


@pytest.mark.parametrize(
    ("by", "name"),
    [(lambda draw: RunnableLambda(str) | draw, "RunnableSequence"), (lambda draw: draw.with_retry(), "RunnableRetry")],
)
def test_only_a_generator_draws(draw, by, name):
    """A chain, which has neither store nor options, is refused, and so are counts that are none."""
    with pytest.raises(OptionError, match=f"drawn by an ImageGenerator, not by {name}"):
        Experiment("animals", prompts=["a fox"]).run(by(draw))
    for count in (0, "4"):
        with pytest.raises(OptionError, match=f"max_concurrency={count!r}"):
            Experiment("animals", prompts=["a fox"]).run(draw, max_concurrency=count)
    with pytest.raises(OptionError, match="n='two'"):
        Experiment("animals", prompts=["a fox"], n="two")
