"""Find the paths of the two-dimensional example (Fig. 3) and sample its landscape."""

import argparse
from pathlib import Path

from topography.jobs import command_line

GRID_X = (-1.1, 1.1)
GRID_Y = (-1.0, 0.9)
GRID_POINTS = 201


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--settings",
        type=command_line.settings,
        required=True,
        help="JSON object: terms, points, steps, learning_rate, penalties, squared",
    )
    parser.add_argument("--output", type=Path, required=True, help="output, safetensors")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import torch

    from topography.landscape import FunctionLandscape
    from topography.paths import equally_spaced, find_path
    from topography.storage import write_tensors
    from topography.synthetic import END, START, two_wells, two_wells_squared

    settings = args.settings
    landscape = FunctionLandscape(two_wells)
    minimised = FunctionLandscape(two_wells_squared if settings["squared"] else two_wells)
    start, end = torch.tensor([START, END], dtype=torch.float64)
    paths = {
        f"penalty_{penalty:g}": find_path(
            minimised,
            start,
            end,
            terms=settings["terms"],
            points=settings["points"],
            penalty=penalty,
            steps=settings["steps"],
            learning_rate=settings["learning_rate"],
            keep="last",
        )
        for penalty in settings["penalties"]
    }
    straight = next(iter(paths.values())).straight()
    tensors = {"t": equally_spaced(settings["points"])}
    for name, path in {"straight": straight, **paths}.items():
        tensors[f"{name}_points"] = path.points(settings["points"])
        tensors[f"{name}_losses"] = path.losses(landscape, settings["points"])
        print(f"{name}: height {tensors[f'{name}_losses'].max():.3f}")
    grid_x = torch.linspace(*GRID_X, GRID_POINTS, dtype=torch.float64)
    grid_y = torch.linspace(*GRID_Y, GRID_POINTS, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), dim=2)
    grid_losses = landscape.losses(grid.flatten(0, 1)).view(GRID_POINTS, GRID_POINTS)
    tensors |= {"grid_x": grid_x, "grid_y": grid_y, "grid_losses": grid_losses}
    write_tensors(args.output, {name: tensor.numpy() for name, tensor in tensors.items()})


if __name__ == "__main__":
    command_line.run(main)
