"""Sounds: PCM .wav files by the standard library, resampled, cut into windows, and their log-mel spectrum."""

import io
import math
import wave
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from edge_runtime.declared import Audio
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array


def read_wav(source: Path | bytes, name: str = "sound") -> tuple[Array, int]:
    """A PCM .wav file: float32[samples] between -1 and 1, its channels averaged; and its rate in Hz.

    Raises:
        InputError: it is not such a file, or is empty.
    """
    try:
        with wave.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), "rb") as opened:
            channels, width, rate = opened.getnchannels(), opened.getsampwidth(), opened.getframerate()
            content = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise InputError(f"{name}: not a PCM .wav file that can be read ({error})") from error
    content = content[: len(content) // (width * channels) * width * channels]
    if not content or not rate or width > 4:
        raise InputError(f"{name}: holds no sound of 8 to 32 bits")
    if width == 3:  # NumPy has no 24-bit integers: they become the upper bytes of 32
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        values = padded.reshape(-1).view("<i4").astype(np.float64) / 2**31
    elif width == 1:
        values = (np.frombuffer(content, np.uint8).astype(np.float64) - 128) / 128
    else:
        values = np.frombuffer(content, f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
    return values.reshape(-1, channels).mean(axis=1).astype(np.float32), rate


def resample(samples: Array, rate: int, wanted: int) -> Array:
    """The same sound at another rate: its spectrum is cut off, or filled up with zeros.

    Args:
        samples: float32[n].
        rate: of the samples, in Hz.
        wanted: in Hz.
    """
    if rate == wanted:
        return samples
    # Filled up with silence to a length that both rates divide: else the sound would be stretched a little.
    whole = rate // math.gcd(rate, wanted)
    padded = np.pad(samples, (0, -len(samples) % whole))
    count = len(padded) * wanted // rate
    spectrum = np.fft.rfft(padded)[: count // 2 + 1]
    if count % 2 == 0 and count < len(padded):
        spectrum[-1] = spectrum[-1].real  # the highest frequency of an even length has no phase
    found: Array = np.fft.irfft(spectrum, count) * (count / len(padded))
    return found[: max(1, round(len(samples) * wanted / rate))].astype(np.float32)


def windows(samples: Array, audio: Audio) -> Iterator[tuple[float, float, Array]]:
    """The windows of a sound: their begin and end in seconds, and their samples with the context in front.

    What is missing before the first and after the last is silence.
    """
    window = audio.window or len(samples)
    hop = audio.hop or window
    count = max(1, min(math.ceil((len(samples) - window) / hop) + 1, math.ceil(len(samples) / hop)))
    behind = (count - 1) * hop + window - len(samples)
    padded = np.pad(samples, (audio.context, max(0, behind)))
    for start in range(0, count * hop, hop):
        part = padded[start : start + audio.context + window]
        yield (start / audio.rate, min(start + window, len(samples)) / audio.rate, part)


def log_mel(samples: Array, audio: Audio) -> Array:
    """The logarithm of the energy in mel bands: float32[frames, mels]; frames do not reach beyond the samples.

    Each frame is weighted with a periodic Hann window; its power spectrum is summed by triangular filters that are
    equally wide on the mel scale of O'Shaughnessy, ``2595 log10(1 + f / 700)``.
    """
    if len(samples) < audio.frame:
        samples = np.pad(samples, (0, audio.frame - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, audio.frame)[:: audio.step]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(audio.frame) / audio.frame)
    power = np.abs(np.fft.rfft(frames * hann, audio.fft)) ** 2
    bank = filters(audio.rate, audio.fft, audio.mels, audio.low, audio.high or audio.rate / 2)
    found: Array = np.log(np.maximum(power @ bank, audio.floor))
    return found.astype(np.float32)


@lru_cache(maxsize=4)
def filters(rate: int, fft: int, mels: int, low: float, high: float) -> Array:
    """Triangular filters, float64[fft / 2 + 1, mels], each 1 at its middle."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    edges = 700 * (10 ** (np.linspace(mel(low), mel(high), mels + 2) / 2595) - 1)
    bins = np.arange(fft // 2 + 1)[:, None] * (rate / fft)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
