//! What the processor does to pixels: conversion, scaling. Each stage is named in the pipeline.
