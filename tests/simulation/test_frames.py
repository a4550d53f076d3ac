"""Grids, poses and fields use consistent coordinates."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from lesionlab.simulation.frames import Grid, View, at_points, block_mean, lattice_points, rigid, smooth_noise
from lesionlab.simulation.sites import SITES, scan_grid, splits


@pytest.mark.parametrize("name", SITES)
def test_a_site_writes_its_own_spacing_and_orientation(name: str) -> None:
    site, grid = SITES[name], scan_grid(SITES[name], None)
    np.testing.assert_allclose(grid.spacing_mm, site.spacing_mm)
    assert "".join(nib.aff2axcodes(grid.affine_IJK_to_W)) == site.axcodes


@pytest.mark.parametrize("name", SITES)
def test_an_isotropic_spacing_keeps_orientation_and_centre(name: str) -> None:
    own, coarse = scan_grid(SITES[name], None), scan_grid(SITES[name], 2.0)
    np.testing.assert_allclose(coarse.spacing_mm, 2.0)
    middles = [g.affine_IJK_to_W @ [*((np.array(g.shape) - 1) / 2), 1] for g in (own, coarse)]
    np.testing.assert_allclose(middles[0], middles[1], atol=1e-9)


def test_sites_differ_in_what_matters() -> None:
    sites = SITES.values()
    assert {site.field_T for site in sites} == {1.5, 3.0}
    assert {site.acquisition for site in sites} == {"2D", "3D"}
    assert {site.skull_stripped for site in sites} == {True, False}
    assert any(site.tilt_degrees for site in sites)
    assert len({site.axcodes for site in sites}) >= 4


def test_a_finer_grid_averages_back_to_the_coarse_one() -> None:
    grid = scan_grid(SITES["hdxt"], None)
    factors = splits(grid)
    fine = grid.finer(factors)
    z = np.indices(fine.shape)
    along = np.tensordot(fine.affine_IJK_to_W[2, :3], z, axes=1) + fine.affine_IJK_to_W[2, 3]
    voxels = np.indices(grid.shape)
    wanted = np.tensordot(grid.affine_IJK_to_W[2, :3], voxels, axes=1) + grid.affine_IJK_to_W[2, 3]
    np.testing.assert_allclose(block_mean(along, factors), wanted, atol=1e-6)


def test_a_linear_field_is_interpolated_exactly_at_every_voxel() -> None:
    pose = rigid(np.array([5.0, -3.0, 8.0]), np.array([2.0, 1.0, -4.0]), np.zeros(3))
    affine = np.diag([-1.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = [30, -40, -30]
    view = View(Grid((40, 36, 20), affine), pose)
    height = lattice_points()[2]
    to_S = view.affine_IJK_to_S
    wanted = np.tensordot(to_S[2, :3], np.indices(view.grid.shape), axes=1) + to_S[2, 3]
    np.testing.assert_allclose(view.field(height), wanted, atol=1e-3)


def test_a_lattice_field_keeps_its_values_at_its_own_knots() -> None:
    field = smooth_noise(np.random.default_rng(0), 10.0)
    np.testing.assert_allclose(at_points(field, lattice_points()), field, atol=1e-5)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)
