# expect: accepted
# What is expected, CPython 3.11 says of the same functions on Linux.
import math

inf, nan = float("inf"), float("nan")
functions = [math.sin, math.cos, math.tan, math.asin, math.acos, math.atan, math.sinh, math.cosh, math.tanh, math.cbrt,
             math.log10, math.exp, math.expm1, math.log, math.asinh, math.acosh, math.atanh, math.erf, math.gamma]
arguments = [0.0, -0.0, inf, -inf, nan, 1.0, -1.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 710.0, 711.0, -710.0]


def shown(function, *arguments):
    try:
        return "%.12g" % function(*arguments)
    except (ValueError, OverflowError) as error:
        return type(error).__name__


results = {function.__name__: " ".join(shown(function, x) for x in arguments) for function in functions}
ends = [0.0, -0.0, inf, -inf, nan]
for function in (math.atan2, math.hypot):
    results[function.__name__] = " ".join(shown(function, x, y) for x in ends for y in ends)
results["abs"] = " ".join(shown(abs, complex(x, y)) for x in ends for y in ends)
expected = {
    "sin": "0 -0 ValueError ValueError nan 0.841470984808 -0.841470984808 4.94065645841e-324 "
    "-4.94065645841e-324 -0.595256084863 0.595256084863 6.02887066916e-05 0.841503557406 "
    "-6.02887066916e-05",
    "cos": "1 1 ValueError ValueError nan 0.540302305868 0.540302305868 1 1 0.803536056088 0.803536056088 "
    "0.999999998183 0.540251573689 0.999999998183",
    "tan": "0 -0 ValueError ValueError nan 1.55740772465 -1.55740772465 4.94065645841e-324 "
    "-4.94065645841e-324 -0.740795736984 0.740795736984 6.02887068012e-05 1.55761426415 "
    "-6.02887068012e-05",
    "asin": "0 -0 ValueError ValueError nan 1.57079632679 -1.57079632679 4.94065645841e-324 "
    "-4.94065645841e-324 ValueError ValueError ValueError ValueError ValueError",
    "acos": "1.57079632679 1.57079632679 ValueError ValueError nan 0 3.14159265359 1.57079632679 "
    "1.57079632679 ValueError ValueError ValueError ValueError ValueError",
    "atan": "0 -0 1.57079632679 -1.57079632679 nan 0.785398163397 -0.785398163397 4.94065645841e-324 "
    "-4.94065645841e-324 1.57079632679 -1.57079632679 1.56938787702 1.56938985796 -1.56938787702",
    "sinh": "0 -0 inf -inf nan 1.17520119364 -1.17520119364 4.94065645841e-324 -4.94065645841e-324 "
    "OverflowError OverflowError 1.11699738308e+308 OverflowError -1.11699738308e+308",
    "cosh": "1 1 inf inf nan 1.54308063482 1.54308063482 1 1 OverflowError OverflowError 1.11699738308e+308 "
    "OverflowError 1.11699738308e+308",
    "tanh": "0 -0 1 -1 nan 0.761594155956 -0.761594155956 4.94065645841e-324 -4.94065645841e-324 1 -1 1 1 -1",
    "cbrt": "0 -0 inf -inf nan 1 -1 1.703183936e-108 -1.703183936e-108 5.53965825675e+102 -5.53965825675e+102 "
    "8.92112140446 8.92530775955 -8.92112140446",
    "log10": "ValueError ValueError inf ValueError nan 0 ValueError -323.306215343 ValueError 308.230448921 "
    "ValueError 2.85125834872 2.85186960073 ValueError",
    "exp": "1 1 inf 0 nan 2.71828182846 0.367879441171 1 1 OverflowError 0 OverflowError OverflowError "
    "4.47628622568e-309",
    "expm1": "0 -0 inf -1 nan 1.71828182846 -0.632120558829 4.94065645841e-324 -4.94065645841e-324 "
    "OverflowError -1 OverflowError OverflowError -1",
    "log": "ValueError ValueError inf ValueError nan 0 ValueError -744.440071921 ValueError 709.726836893 "
    "ValueError 6.56526497004 6.5666724298 ValueError",
    "asinh": "0 -0 inf -inf nan 0.88137358702 -0.88137358702 4.94065645841e-324 -4.94065645841e-324 "
    "710.419984074 -710.419984074 7.25841264653 7.2598201049 -7.25841264653",
    "acosh": "ValueError ValueError inf ValueError nan 0 ValueError ValueError ValueError 710.419984074 "
    "ValueError 7.25841165466 7.25981911582 ValueError",
    "atanh": "0 -0 ValueError ValueError nan ValueError ValueError 4.94065645841e-324 -4.94065645841e-324 "
    "ValueError ValueError ValueError ValueError ValueError",
    "erf": "0 -0 1 -1 nan 0.84270079295 -0.84270079295 4.94065645841e-324 -4.94065645841e-324 1 -1 1 1 -1",
    "gamma": "ValueError ValueError inf ValueError nan 1 ValueError OverflowError OverflowError OverflowError "
    "ValueError OverflowError OverflowError ValueError",
    "atan2": "0 3.14159265359 0 3.14159265359 nan -0 -3.14159265359 -0 -3.14159265359 nan 1.57079632679 "
    "1.57079632679 0.785398163397 2.35619449019 nan -1.57079632679 -1.57079632679 -0.785398163397 "
    "-2.35619449019 nan nan nan nan nan nan",
    "hypot": "0 0 inf inf nan 0 0 inf inf nan inf inf inf inf inf inf inf inf inf inf nan nan inf inf nan",
    "abs": "0 0 inf inf nan 0 0 inf inf nan inf inf inf inf inf inf inf inf inf inf nan nan inf inf nan",
}
wrong = [name for name in expected if results[name] != expected[name]]
print("ok" if not wrong else wrong)
