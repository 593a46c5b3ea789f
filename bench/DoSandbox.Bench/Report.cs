using System.Globalization;

namespace DoSandbox.Bench;

/// <summary>Prints a figure beside its floor and the bound that it is to keep.</summary>
internal sealed class Report
{
    public int Missed { get; private set; }

    /// <summary>A figure that may be at most <paramref name="most"/> times its floor.</summary>
    public void AtMost(string what, double value, double floor, double most, string unit, string floorName) =>
        Line(what, value, floor, value / floor <= most, $"at most {Number(most)}", unit, floorName);

    /// <summary>A figure that must be at least <paramref name="least"/> times its ceiling.</summary>
    public void AtLeast(string what, double value, double ceiling, double least, string unit, string ceilingName) =>
        Line(what, value, ceiling, value / ceiling >= least, $"at least {Number(least)}", unit, ceilingName);

    public void Skip(string what, string reason) => Console.WriteLine($"{what,-44} not measured: {reason}");

    private void Line(string what, double value, double reference, bool kept, string bound, string unit, string referenceName)
    {
        Missed += kept ? 0 : 1;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{what,-44} {Number(value),9} {unit,-5} {referenceName} {Number(reference)} {unit}; ratio {value / reference:0.00} ({bound}) {(kept ? "kept" : "MISSED")}"));
    }

    private static string Number(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);
}
