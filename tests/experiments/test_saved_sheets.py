"""Sheets are saved over what others have saved: no mark, no picture and no plan is lost without a word."""

from __future__ import annotations

import threading
import time

import pytest

from langchain_imagegen.errors import ImageGenerationError, ImageStoreError
from langchain_imagegen.experiments import Experiment, Sheet
from langchain_imagegen.experiments.cell import CellError, Outcome
from langchain_imagegen.simulator import Simulator

PROMPTS = ["draw a fox", "draw an owl"]


def test_marks_made_during_a_run_stay(low, image_store):
    """Another kernel picks, rates and annotates a cell while the experiment is still drawn."""
    with Simulator(latency=0.3) as simulator:
        plan = Experiment("foxes", prompts=PROMPTS, n=2)
        settings = {"progress": False, "max_concurrency": 1}
        running = threading.Thread(target=plan.run, args=(low(base_url=simulator.base_url),), kwargs=settings)
        running.start()
        while simulator.pictures < 2:
            time.sleep(0.02)
        Sheet.load("foxes", image_store=image_store).pick("A1", rating=5).note("A1", "from the other kernel")
        running.join()

    sheet = Sheet.load("foxes", image_store=image_store)
    assert (sheet["A1"].picked, sheet["A1"].rating, sheet["A1"].notes) == (True, 5, ["from the other kernel"])
    assert len(sheet.images()) == 4


def test_two_objects_of_a_sheet_keep_each_others_marks(run, draw, image_store):
    """What one object of a sheet says of a cell stays when another one says something else, and shows there too."""
    one = run(Experiment("foxes", prompts=PROMPTS), draw)
    two = Sheet.load("foxes", image_store=image_store)
    one.pick("A1").note("A1", "calm")
    two.rate("A1", 4).note("A1", "bright").note("A2", "dark")

    for sheet in (two, Sheet.load("foxes", image_store=image_store)):
        assert (sheet["A1"].picked, sheet["A1"].rating, sheet["A1"].notes) == (True, 4, ["calm", "bright"])
    assert one.unpick("A1")["A2"].notes == ["dark"]
    assert Sheet.load("foxes", image_store=image_store).picked == []


def test_a_failure_does_not_hide_what_another_kernel_drew(run, draw, image_store):
    """Of two kernels that draw a cell at once, the one that fails leaves the picture of the other, and its marks."""
    plan = Experiment("foxes", prompts="draw a fox")
    late = plan.batch(draw)
    run(plan, draw).rate("A1", 5)
    late.fill(0, Outcome(error=CellError.of(ImageGenerationError("the connection broke")), seconds=1))

    sheet = Sheet.load("foxes", image_store=image_store)
    assert sheet["A1"].image.read()
    assert (sheet["A1"].rating, sheet["A1"].error) == (5, None)


def test_a_sheet_is_saved_as_it_is(run, draw, image_store):
    """`save` writes what the object holds, also what was changed in its cells by hand, and replaces what was saved."""
    sheet = run(Experiment("foxes", prompts=PROMPTS), draw)
    Sheet.load("foxes", image_store=image_store).rate("A1", 5)
    sheet["A1"].rating = 2
    sheet.save()

    assert Sheet.load("foxes", image_store=image_store)["A1"].rating == sheet["A1"].rating == 2


def test_an_older_object_does_not_bring_back_its_plan(run, draw, image_store):
    """A sheet that was made before the plan was corrected marks its cells, and leaves the new plan as it is."""
    old = run(Experiment("foxes", prompts=["draw an owl", "draw a dog"]), draw)
    run(Experiment("foxes", prompts=["draw a fox", "draw an owl", "draw a cat"]), draw).rate("A3", 5)
    old.pick("A1", "A2")

    sheet = Sheet.load("foxes", image_store=image_store)
    assert [cell.image.prompt for cell in sheet] == ["draw a fox", "draw an owl", "draw a cat"]
    assert [cell.image.prompt for cell in sheet.picked] == ["draw an owl"]
    assert sheet["A3"].rating == 5
    again = run(Experiment("foxes", prompts=["draw an owl", "draw a dog"]), draw)
    assert [cell.name for cell in again.picked] == ["A1", "A2"]


def test_a_plan_that_is_changed_back_has_its_marks_again(run, draw, simulator, image_store):
    """Cells that a plan does not have any more are kept, with pictures, ratings and notes, until it has them again."""
    run(Experiment("foxes", prompts=PROMPTS), draw).pick("A2", rating=3).note("A2", "good eyes")
    other = run(Experiment("foxes", prompts="draw a cat"), draw)
    assert len(Sheet.load("foxes", image_store=image_store)) == len(other) == 1

    again = run(Experiment("foxes", prompts=PROMPTS), draw)
    assert simulator.pictures == 3
    assert (again["A2"].picked, again["A2"].rating, again["A2"].notes) == (True, 3, ["good eyes"])
    assert not again["A2"].result.from_ledger


def test_equal_variations_are_pictures_of_their_own(run, draw, simulator):
    """A variation that is listed twice is drawn twice, and each of the two is marked by itself."""
    plan = Experiment("foxes", variations=["draw a fox", "draw a fox"], n=2)
    sheet = run(plan, draw).pick("A1")

    assert simulator.pictures == 4
    assert [cell.name for cell in run(plan, draw).picked] == ["A1"]
    assert len({cell.key for cell in sheet}) == 4


def test_a_deleted_picture_is_drawn_again(run, draw, simulator, image_store, tmp_path, capsys):
    """A cell whose picture was deleted is missing: its price is said, it is drawn again, and its old marks are gone."""
    plan = Experiment("foxes", prompts=PROMPTS)
    sheet = run(plan, draw).rate("A1", 5).rate("A2", 4)
    image_store.delete(sheet["A1"].image)

    with pytest.raises(ImageStoreError, match=r"what cell 'A1' showed.*Running the experiment again"):
        sheet.export(tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["A2-draw-an-owl.png", "foxes.csv"]

    again = run(plan, draw, progress=True)
    assert "2 pictures, 1 of them drawn before; the other 1 costs" in "".join(capsys.readouterr())
    assert simulator.pictures == 3
    assert again["A1"].image.read()
    assert again["A2"].rating == 4
    assert len(again.export(tmp_path / "again")) == 2


def test_a_picture_of_the_ledger_has_its_price(run, draw, simulator):
    """After a kernel died, the sheet tells what its pictures cost and how long they took, not that they were free."""
    plan = Experiment("foxes", prompts=PROMPTS)
    first = run(plan, draw)
    first.delete()
    again = run(plan, draw)

    assert simulator.pictures == 2
    assert all(cell.result.from_ledger for cell in again)
    assert again.cost().total == first.cost().total > 0
    assert [row["dollars"] for row in again.to_records()] == [row["dollars"] for row in first.to_records()]
    assert [cell.seconds for cell in again] == [cell.image.seconds for cell in first]
    assert f"${first['A1'].cost().total:.4f}" in again.view().bundle["text/html"]
