# Rscript sums_peers.R data FOLDER: the data sets as CSV.   Rscript sums_peers.R fit FOLDER: mgcv's fit of fit.csv, as bench.sums_peers writes it.
words <- commandArgs(trailingOnly = TRUE)
folder <- words[2]
write <- function(rows, name) write.csv(rows, file.path(folder, paste0(name, ".csv")), row.names = FALSE)
if (words[1] == "data") {
  quakes <- datasets::quakes
  write(quakes[, c("mag", "depth", "lat", "long", "stations")], "quakes")
  pupils <- as.data.frame(nlme::MathAchieve)
  write(data.frame(ses = pupils$SES, mean_ses = pupils$MEANSES, minority = as.integer(pupils$Minority) - 1,
                   sex = as.integer(pupils$Sex) - 1, y = pupils$MathAch), "pupils")
  set.seed(0)
  simulated <- mgcv::gamSim(1, n = 20000, scale = 2, verbose = FALSE)
  write(simulated[, c("x0", "x1", "x2", "x3", "y")], "simulated")
} else {
  library(mgcv)
  read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
  formula <- as.formula(readLines(file.path(folder, "formula.txt")))
  rows <- read("fit")
  began <- sum(proc.time()[1:2])
  model <- if (nrow(rows) < 10000) gam(formula, data = rows, method = "REML") else bam(formula, data = rows, method = "fREML")
  cat(sum(proc.time()[1:2]) - began, file = file.path(folder, "seconds.txt"))
  for (name in c("new", "grid")) writeLines(format(predict(model, read(name)), digits = 17), file.path(folder, paste0(name, ".txt")))
}
