"""Tables of images: columns, delimiters, several labels, splits, missing files, bad lines."""

import numpy as np
import pytest

from newnet_tf.data.datasets.base import DatasetError
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.data.host_loader import iter_samples


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "sub").mkdir()
    for number in range(10):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
        (tmp_path / "sub" / f"{number}.png").write_bytes(b"x")
    return tmp_path


def table(folder, text, name="labels.csv", **options):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_dataset(folder / name, **options)


def labels_of(dataset, split="all"):
    folder = None
    found = {}
    for sample in iter_samples(dataset.split(split)):
        folder = folder or sample.name.rsplit("/", 1)[0]
        found[sample.name.rsplit("/", 1)[1]] = np.asarray(sample.label).tolist()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n0.jpg,rose\n1.jpg,daisy\n2.jpg,rose\n",
        "0.jpg,rose\n1.jpg,daisy\n2.jpg,rose\n",
        "label;image_path\nrose;0.jpg\ndaisy;1.jpg\n\nrose;2.jpg\n",
        "Filename\tnote\tClass\n0.jpg\ta,b\trose\n1.jpg\tc\tdaisy\n2.jpg\t\trose\n",
        "\ufefffile|label\r\n0.jpg|rose\r\n1.jpg|daisy\r\n2.jpg|rose\r\n",
        "id,image_id,species\n7,0,rose\n8,1,daisy\n9,2,rose\n",
        'path,label\n"0.jpg","rose"\n"./1.jpg", daisy\n2.jpg,rose\n2.jpg,rose\n',
        "path,daisy,rose\n0.jpg,0,1\n1.jpg,1.0,0.0\n2.jpg,0,1\n",
    ],
)
def test_one_label_a_line(photos, text):
    dataset = table(photos, text, validation_split=0.4)
    assert (dataset.name, dataset.class_names) == ("labels", ("daisy", "rose"))
    assert dataset.task == "classification"
    assert labels_of(dataset) == {"0.jpg": 1, "1.jpg": 0, "2.jpg": 1}
    assert list(dataset.splits) == ["train", "validation", "all"]


@pytest.mark.parametrize(
    "text",
    [
        "path,labels\n0.jpg,sea;sky\n1.jpg,sky\n2.jpg,\n",
        "path,tags\n0.jpg,sky | sea\n1.jpg,sky\n2.jpg,\n",
        "image,sea,sky\n0.jpg,1,1\n1.jpg,0,1\n2.jpg,0,0\n",
    ],
)
def test_several_labels_a_line_are_multi_label(photos, text):
    dataset = table(photos, text)
    assert (dataset.task, dataset.class_names) == ("multilabel_classification", ("sea", "sky"))
    assert labels_of(dataset) == {"0.jpg": [1, 1], "1.jpg": [0, 1], "2.jpg": [0, 0]}
    assert dataset.split("all").class_counts(2).tolist() == [1, 2]
    assert "multilabel_classification, 2 classes" in repr(dataset)


def test_splits_have_a_column_and_paths_another_folder(photos):
    text = "path,label,split\n0.png,a,Training\n1.png,b,training\n2.png,a,val\n3.png,b,Test\n"
    dataset = table(photos, text, images_dir=photos / "sub")
    assert {name: labels_of(dataset, name) for name in dataset.splits} == {
        "train": {"0.png": 0, "1.png": 1},
        "validation": {"2.png": 0},
        "test": {"3.png": 1},
    }


def test_numbers_are_sorted_by_value_and_latin1_is_read(photos):
    rows = "".join(f"{n}.jpg,{n}\n" for n in (2, 3, 9)) + "sub\\1.png,10\n"
    assert table(photos, f"path,label\n{rows}").class_names == ("2", "3", "9", "10")
    assert table(photos, "path,label\n0.jpg,caf\xe9\n1.jpg,b\n".encode("latin-1")).class_names == (
        "b",
        "caf\xe9",
    )


def test_missing_files_are_counted_and_named(photos):
    dataset = table(photos, "path,label\n0.jpg,a\nnowhere.jpg,b\n1.jpg,b\n")
    assert [s.path for s in dataset.skipped] == ["nowhere.jpg (line 3)"]
    assert "1 file left out: a line of the table without its file" in dataset.skipped_summary()
    assert "1 files left out" not in repr(dataset)
    assert "1 file left out" in repr(dataset)
    with pytest.raises(DatasetError, match=r"images_dir.*Received: 1 paths.*'x\.jpg'"):
        table(photos, "path,label\nx.jpg,a\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\n0.jpg,a\n1.jpg,b,c\n", "line 3: a line must have 2 columns.*Received: 3"),
        ("path,label\n0.jpg,a\n1.jpg,\n", "line 3: a line must have a label"),
        ("path,label\n0.jpg,a\n0.jpg,b\n", "line 3: an image must have one line.*in line 2"),
        ("path,label,split\n0.jpg,a,train\n1.jpg,b,later\n", "line 3: a split must be"),
        ("path,a,b\n0.jpg,1,0\n1.jpg,1,7\n", "line 3: .*Received: '7' in column 'b'"),
        ("a,b,c\n1,2,3\n", "must name the columns"),
        ("0.jpg\n1.jpg\n", "a path and a label in each line"),
        ("", "an empty file"),
        ("path,label\n", "below the header"),
    ],
)
def test_a_bad_line_is_named_by_its_number(photos, text, words):
    with pytest.raises(DatasetError, match=words):
        table(photos, text)


def test_only_tables_have_an_images_dir(photos):
    with pytest.raises(DatasetError, match=r"`images_dir`.*CSV"):
        load_dataset(photos, images_dir=photos)
    with pytest.raises(DatasetError, match="existing table"):
        load_dataset(photos / "nowhere.csv")


def test_rows_of_several_labels_are_divided_label_by_label():
    random = np.random.default_rng(0)
    labels = (random.random((200, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.01]).astype(int)
    labels[0] = [0, 0, 0, 0, 0, 1]
    train, validation = stratified_split(labels, 0.2, 0)
    assert sorted([*train, *validation]) == list(range(200))
    shares = labels[validation].sum(axis=0) / labels.sum(axis=0)
    assert np.abs(shares[:4] - 0.2).max() < 0.07
    assert (labels[train].sum(axis=0) > 0).all()
    again = stratified_split(labels, 0.2, 0)[1]
    np.testing.assert_array_equal(validation, again)
    assert not np.array_equal(validation, stratified_split(labels, 0.2, 1)[1])
