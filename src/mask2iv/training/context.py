"""The inputs of a component's training, and the model folder that it reads and writes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mask2iv.data.vocabulary import words_of
from mask2iv.files import atomic_directory, atomic_write, copy_linked, remove_leftovers, sha256_file
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.text import add_words, unknown_words, words_cut_off
from mask2iv.pipelines.components import load_component, save_component
from mask2iv.pipelines.folder import INDEX, read_index, write_index
from mask2iv.prompts.reader import WORDING
from mask2iv.recipes import Recipe
from mask2iv.training.engine.checkpoint import cannot_write
from mask2iv.training.engine.run import Run
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.mirror import mirrored_caption
from mask2iv.training.start import adopted, lacking, refuse_other_sizes


@dataclass(frozen=True)
class TrainContext:
    """All inputs of a training run.

    Attributes:
        recipe: the resolved recipe.
        clips, held_out: training and validation clips.
        model_dir: the model folder.
        run: where the training happens.
        left_out: why each clip that is not trained on cannot be read, by its id.
        initial: model folder whose networks a stage starts from; None starts from random ones.
        from_video: whether it starts from that folder's image-to-video network, whichever stage it is.
        cache_dir: where latents are cached; None for a folder inside the model folder. Models trained on the same clips
            with the same encoders may share it.
        add_words: whether a text encoder with a closed vocabulary gets the words of the captions that it lacks.
        complete: whether the model folder also gets all else that `initial` has.
    """

    recipe: Recipe
    clips: ClipMemory
    held_out: ClipMemory
    model_dir: Path
    run: Run
    left_out: Mapping[str, str]
    initial: Path | None = None
    from_video: bool = False
    cache_dir: Path | None = None
    add_words: bool = False
    complete: bool = False

    def captions(self, mirrored: bool) -> list[str]:
        """The captions of all clips; if `mirrored`, also those of their mirror images."""
        found = self.clips.captions + self.held_out.captions
        return found + [mirrored_caption(caption) for caption in found] if mirrored else found

    @property
    def device(self) -> torch.device:
        """The device to train on."""
        return self.run.accelerator.device

    def load(self, name: str, trained_by: str) -> Any:
        """A component that an earlier run wrote.

        Raises:
            InputError: it has not been trained yet.
        """
        if (self.model_dir / INDEX).is_file():
            _, components = read_index(self.model_dir)
            if name in components:
                component = load_component(self.model_dir, name, components[name], torch.float32)
                return component.to(self.device) if isinstance(component, torch.nn.Module) else component
        raise lacking(self.recipe, self.model_dir, name, trained_by)

    def adopt(self, component: str) -> None:
        """Copy what a component's run needs, or a whole model has, and the model folder lacks from the folder that
        training starts from (:func:`~mask2iv.training.start.adopted`).

        Only the main process copies. Files are linked where the file system allows it, since components are replaced
        as folders and never written into.
        """
        if self.initial is not None and self.run.accelerator.is_main_process:
            _, given = read_index(self.initial, "initial_weights")
            known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
            names = [name for name in adopted(component, given, self.complete) if name not in known]
            for name in names:
                with atomic_directory(self.model_dir / name, overwrite=True) as folder:
                    copy_linked(self.initial / name, folder)
            if self.complete and "tokenizer" in names and (self.initial / WORDING).is_file():
                with atomic_write(self.model_dir / WORDING) as file:
                    shutil.copyfile(self.initial / WORDING, file)
            if names:
                self._write_index({**known, **{name: given[name] for name in names}})
        self.run.accelerator.wait_for_everyone()

    @property
    def cache_root(self) -> Path:
        """Folder of the caches."""
        return self.cache_dir or self.model_dir / "training" / "cache"

    def start_of(self, name: str, sizes: Mapping[str, Any]) -> Any:
        """The network of this name in the folder that training starts from; None, with a notice, if there is none.

        Args:
            name: of the component.
            sizes: entries that its configuration must contain.

        Raises:
            InputError: it has other sizes.
        """
        if self.initial is None:
            return None
        components = read_index(self.initial)[1]
        if name not in components:
            if self.run.accelerator.is_main_process:
                print(f"mask2iv: {self.initial} holds no {name}: it starts from random weights", file=sys.stderr)
            return None
        network = load_component(self.initial, name, components[name], torch.float32)
        refuse_other_sizes(self.initial, name, network.config, sizes)
        return network

    def teach_words(self, mirrored: bool = False) -> None:
        """Add the captions' unknown words to the text encoder's vocabulary, or warn of them (main process only)."""
        if self.run.accelerator.is_main_process:
            tokenizer = self.load("tokenizer", "encoders")
            words = sorted(
                {word for caption in self.captions(mirrored) for word in words_of(unknown_words(tokenizer, caption))}
            )
            self._warn_of_long_captions(tokenizer)
            if words and self.add_words:
                larger = add_words(tokenizer, self.load("text_encoder", "encoders"), words)
                # The encoder first: one that knows more words than its tokenizer is harmless, and is grown again.
                self.save({"text_encoder": larger})
                self.save({"tokenizer": tokenizer})
            elif words:
                print(
                    "mask2iv: warning: captions: words that mean nothing to the text encoder: "
                    f"{', '.join(words)}; they cannot steer what is trained (add_words adds them to its vocabulary)",
                    file=sys.stderr,
                )
        self.run.accelerator.wait_for_everyone()

    def _warn_of_long_captions(self, tokenizer: Any) -> None:
        """Warn of captions whose ends the text encoder does not see."""
        captions = list(dict.fromkeys(self.captions(mirrored=False)))
        cut = {caption: end for caption in captions if (end := words_cut_off(tokenizer, caption))}
        if cut:
            caption, end = next(iter(cut.items()))
            print(
                f"mask2iv: warning: captions: {len(cut)} of {len(captions)} are longer than the "
                f'{tokenizer.model_max_length} tokens that the text encoder takes; of "{caption}" it does not see '
                f'"{end}"',
                file=sys.stderr,
            )

    def vouch_for(self, frozen: Sequence[str]) -> None:
        """Make the frozen components part of the run's identity: it cannot be resumed with others."""
        digest = hashlib.sha256()
        for name in frozen:
            for path in sorted((self.model_dir / name).iterdir()):
                digest.update(f"{name}/{path.name} {sha256_file(path)}\n".encode())
        self.run.identity["frozen"] = digest.hexdigest()

    def save(self, components: Mapping[str, Any]) -> None:
        """Write trained components and list them in the index (main process only)."""
        if self.run.accelerator.is_main_process:
            remove_leftovers(self.model_dir, *os.path.splitext(INDEX))
            known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
            for name, component in components.items():
                remove_leftovers(self.model_dir, name)
                try:
                    save_component(self.model_dir, name, component)
                except (OSError, SafetensorError) as error:
                    raise cannot_write(str(self.model_dir / name), self.run.directory, error) from error
                known[name] = type(component).__name__
            self._write_index(known)
        self.run.accelerator.wait_for_everyone()

    def _write_index(self, components: Mapping[str, str]) -> None:
        pipeline = self.recipe.pipeline
        if self.recipe.trajectory is None and (self.model_dir / INDEX).is_file():
            # Stage 1 was trained with another recipe, which decides its layout.
            pipeline = replace(pipeline, mask_layout=read_index(self.model_dir)[0].mask_layout)
        write_index(self.model_dir, pipeline, components)

    def codec(self) -> LatentCodec:
        """The trained autoencoder, with many frames per call: training needs speed, not independence of the batch."""
        vae = self.load("vae", "vae").requires_grad_(False)
        # More would not fit into a CPU's caches; fewer would leave a GPU idle.
        return LatentCodec(vae, self.recipe.pipeline.latent_patch, chunk=16 if self.device.type == "cpu" else 256)
